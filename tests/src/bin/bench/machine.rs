//! The environment of the measurements.

use std::{env, fs, path::Path, process::Command, thread};

use anyhow::Result;
use serde::Serialize;

/// The machine and the programs compared.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// The number of cores.
    pub(crate) cores: usize,
    /// Mebibytes.
    pub(crate) memory: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The recorders' directory and its file system.
    pub(crate) disk: String,
    /// First lines of `--version`.
    pub(crate) programs: Vec<String>,
    /// The command line.
    pub(crate) command: String,
    /// The date in UTC.
    pub(crate) date: String,
}

impl Machine {
    /// Collects the data.
    pub(crate) fn describe(directory: &Path) -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kibibytes: u64 = memory
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let directory = directory.to_string_lossy();
        let disk = first_line("findmnt", &["-n", "-o", "FSTYPE,SOURCE", "-T", &directory]);
        Ok(Self {
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            cores: thread::available_parallelism()?.get(),
            memory: kibibytes / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            disk: format!("{directory} ({disk})"),
            programs: vec![
                first_line("tcpdump", &["--version"]),
                first_line("dumpcap", &["--version"]),
                first_line("iperf3", &["--version"]),
            ],
            command: env::args().collect::<Vec<_>>().join(" "),
            date: first_line("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        })
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(
        |error| format!("{program}: {error}"),
        |output| {
            let all = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&all).into_owned()
        },
    );
    let line = text.lines().find(|line| !line.is_empty());
    let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}
