//! The processes of a cluster, which outlive the program that starts them. Each is recorded by its process id
//! and start time, so that no other process is ever killed by its number.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Time limit for a process to end by itself.
const END: Duration = Duration::from_secs(10);

/// Processes by name, recorded below a run directory.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    run: PathBuf,
}

impl Processes {
    pub(super) fn of(run: &Path) -> Result<Self> {
        for name in ["pid", "log"] {
            let directory = run.join(name);
            fs::create_dir_all(&directory)
                .with_context(|| format!("creating {}", directory.display()))?;
        }
        Ok(Self {
            run: run.to_owned(),
        })
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.run.join("log").join(format!("{name}.log"))
    }

    fn record(&self, name: &str) -> PathBuf {
        self.run.join("pid").join(name)
    }

    /// Starts a program in a new session; its output goes to its log.
    pub(super) fn start(&self, name: &str, command: &Command) -> Result<u32> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        // A process in a new session does not receive Ctrl-C from this terminal.
        let mut detached = Command::new("setsid");
        detached
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = detached
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        self.remember(name, child.id())?;
        Ok(child.id())
    }

    /// Records a process that was started elsewhere.
    pub(super) fn remember(&self, name: &str, id: u32) -> Result<()> {
        let time = start_time(id).with_context(|| format!("{name} has ended at once"))?;
        fs::write(self.record(name), format!("{id} {time}"))
            .with_context(|| format!("recording {name}"))
    }

    /// The process id, unless it has ended.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        let record = fs::read_to_string(self.record(name)).ok()?;
        let (id, time) = record.split_once(' ')?;
        let id: u32 = id.parse().ok()?;
        (start_time(id)? == time.parse::<u64>().ok()?).then_some(id)
    }

    /// Names of all that were started and have not ended.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.run.join("pid")).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Fails if one of them has ended by itself.
    pub(super) fn check(&self) -> Result<()> {
        for name in self.names() {
            if self.id(&name).is_none() {
                bail!("{name} has ended: {}", self.tail(&name));
            }
        }
        Ok(())
    }

    /// The end of a log.
    pub(super) fn tail(&self, name: &str) -> String {
        let log = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Sends a signal, if it runs.
    pub(super) fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        if let Some(id) = self.id(name) {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            kill_process(id.context("a process id that is none")?, signal)
                .with_context(|| format!("signalling {name}"))?;
        }
        Ok(())
    }

    /// Ends it, finally with SIGKILL, and removes its record.
    pub(super) fn end(&self, name: &str, signal: Signal) -> Result<()> {
        self.signal(name, signal)?;
        let gone = || Ok(self.id(name).is_none().then_some(()));
        if wait::within(END, name, gone).is_err() {
            self.signal(name, Signal::KILL)?;
            wait::within(END, name, gone)?;
        }
        match fs::remove_file(self.record(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("forgetting {name}"))
            }
            _ => Ok(()),
        }
    }
}

/// When a process started, in ticks since boot; `None` for a process that has ended.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}
