//! The recorders that are compared, started and stopped in the same way.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use capture_tests::{
    generator::pin,
    netns::Namespace,
    process::Process,
    recorder::{Recorder, program, standard_arguments},
    usage::{cpu_time, peak_memory_beside_rings},
};
use rustix::process::Signal;
use serde::Serialize;
use tempfile::TempDir;

/// The generator has one core, the recorder another.
pub(crate) const GENERATOR_CORE: usize = 0;
const RECORDER_CORE: usize = 1;

/// The buffer between kernel and recorder, the same for all, in MiB.
pub(crate) const BUFFER: u32 = 64;

/// The recorders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// No recorder.
    Bare,
    /// `captured`, plain files, no digest: like the others.
    Captured,
    /// With default settings: with the digest of each file.
    CapturedDefault,
    /// With gzip.
    CapturedGzip,
    /// With zstd.
    CapturedZstd,
    /// tcpdump.
    Tcpdump,
    /// Wireshark's recorder.
    Dumpcap,
}

impl Peer {
    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "nothing",
            Self::Captured => "captured",
            Self::CapturedDefault => "captured default",
            Self::CapturedGzip => "captured gzip",
            Self::CapturedZstd => "captured zstd",
            Self::Tcpdump => "tcpdump",
            Self::Dumpcap => "dumpcap",
        }
    }
}

/// Options of a recorder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options<'a> {
    /// The expression; `None` for all packets.
    pub(crate) expression: Option<&'a str>,
    /// Not pinned to one core.
    pub(crate) any_core: bool,
}

/// The peers' file name.
const PEER_FILE: &str = "peer.pcap";

/// A running recorder.
pub(crate) struct Running {
    kind: Kind,
    /// CPU time used before it was ready.
    before: Duration,
    directory: TempDir,
}

enum Kind {
    Bare,
    Captured(Recorder),
    Peer(Peer, Process),
}

/// The resources that a recorder used and the packets that it kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Packets in its files, according to its own report.
    pub(crate) packets: u64,
    /// CPU time of all its threads from its readiness to its end.
    pub(crate) cpu: Duration,
    /// Peak of its memory without the buffer, in bytes.
    pub(crate) memory: u64,
}

/// Starts a recorder on an interface, writing below a directory, and waits until it records.
pub(crate) fn start(
    peer: Peer,
    namespace: &Namespace,
    interface: &str,
    below: &Path,
    options: &Options<'_>,
) -> Result<Running> {
    let directory = TempDir::new_in(below)?;
    let command = |program: &Path| {
        // A separate thread starts the recorder and cannot pin itself without pinning the recorder,
        // so taskset does.
        if options.any_core {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command
            .args(["-c", &RECORDER_CORE.to_string()])
            .arg(program);
        command
    };
    let kind = match peer {
        Peer::Bare => Kind::Bare,
        Peer::Tcpdump => Kind::Peer(
            peer,
            start_tcpdump(
                command(Path::new("tcpdump")),
                namespace,
                interface,
                directory.path(),
                options,
            )?,
        ),
        Peer::Dumpcap => Kind::Peer(
            peer,
            start_dumpcap(
                command(Path::new("dumpcap")),
                namespace,
                interface,
                directory.path(),
                options,
            )?,
        ),
        Peer::Captured | Peer::CapturedDefault | Peer::CapturedGzip | Peer::CapturedZstd => {
            let mut command = command(program()?);
            command.args(standard_arguments(directory.path())?).args([
                "-i",
                interface,
                "-B",
                &format!("{BUFFER}MiB"),
            ]);
            match peer {
                Peer::CapturedGzip => command.args(["--compress", "gzip", "--digest", "none"]),
                Peer::CapturedZstd => command.args(["--compress", "zstd", "--digest", "none"]),
                Peer::CapturedDefault => &mut command,
                _ => command.args(["--compress", "none", "--digest", "none"]),
            };
            command.args(options.expression);
            Kind::Captured(Recorder::start_command(
                namespace,
                directory.path(),
                command,
            )?)
        }
    };
    let mut running = Running {
        kind,
        before: Duration::ZERO,
        directory,
    };
    if let Some(process) = running.process() {
        running.before = cpu_time(process, None)?;
    }
    Ok(running)
}

fn start_tcpdump(
    mut command: Command,
    namespace: &Namespace,
    interface: &str,
    directory: &Path,
    options: &Options<'_>,
) -> Result<Process> {
    command
        .args(["-i", interface, "-n", "-p", "-s", "0", "-Z", "root"])
        .args(["-B", &(BUFFER * 1024).to_string(), "-w"])
        .arg(directory.join(PEER_FILE))
        .args(options.expression);
    let mut process = Process::start(namespace, command)?;
    process.wait_for_stderr("listening on")?;
    Ok(process)
}

fn start_dumpcap(
    mut command: Command,
    namespace: &Namespace,
    interface: &str,
    directory: &Path,
    options: &Options<'_>,
) -> Result<Process> {
    // Classic pcap, like tcpdump.
    command
        .args(["-i", interface, "-q", "-p", "-P"])
        .args(["-B", &BUFFER.to_string(), "-w"])
        .arg(directory.join(PEER_FILE));
    if let Some(expression) = options.expression {
        command.args(["-f", expression]);
    }
    let mut process = Process::start(namespace, command)?;
    process.wait_for_stderr("File:")?;
    Ok(process)
}

impl Running {
    /// Its process id, if there is a process.
    pub(crate) fn process(&mut self) -> Option<u32> {
        match &mut self.kind {
            Kind::Bare => None,
            Kind::Captured(recorder) => Some(recorder.process().id()),
            Kind::Peer(_, process) => Some(process.id()),
        }
    }

    /// Waits until it has processed all packets, stops it, and returns its outcome.
    pub(crate) fn finish(mut self) -> Result<Outcome> {
        let Some(process) = self.process() else {
            return Ok(Outcome::default());
        };
        rest(process)?;
        let memory = peak_memory_beside_rings(process)
            .context("a recorder has ended before it was told to")?;
        let (packets, cpu) = match self.kind {
            Kind::Bare => bail!("nothing that runs"),
            Kind::Captured(recorder) => {
                let (recorded, cpu) = recorder.stop_with_cpu_time()?;
                (recorded.summary.total.written, cpu)
            }
            Kind::Peer(peer, process) => {
                process.signal(Signal::INT)?;
                let (ended, cpu) = process.wait_with_cpu_time()?;
                (captured_packets(peer, &ended.stderr)?, cpu)
            }
        };
        self.directory.close()?;
        Ok(Outcome {
            packets,
            cpu: cpu.saturating_sub(self.before),
            memory,
        })
    }
}

/// Waits until a recorder is idle: tcpdump drops the contents of its buffer when it is told to stop.
fn rest(process: u32) -> Result<()> {
    // Longer than the second after which the peers check a buffer that is not full.
    const REST: Duration = Duration::from_millis(2500);
    const LONGEST: Duration = Duration::from_secs(300);
    let start = Instant::now();
    let mut last = cpu_time(process, None)?;
    let mut since = Instant::now();
    while since.elapsed() < REST {
        ensure!(
            start.elapsed() < LONGEST,
            "a recorder does not come to rest"
        );
        thread::sleep(Duration::from_millis(50));
        let now = cpu_time(process, None)?;
        // Wake-ups that find nothing count as idle, too: one per cent of a core.
        if now > last + REST / 100 {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// The number of packets that a peer reports as written.
fn captured_packets(peer: Peer, stderr: &str) -> Result<u64> {
    // dumpcap: "Packets captured: 123"; tcpdump: "123 packets captured". Either may follow a
    // carriage return.
    let mut lines = stderr.split(['\n', '\r']);
    let number = if peer == Peer::Dumpcap {
        lines.find_map(|line| line.strip_prefix("Packets captured: "))
    } else {
        lines.find_map(|line| line.strip_suffix(" packets captured"))
    };
    number
        .context("no count of packets")
        .and_then(|number| Ok(number.trim().parse()?))
        .with_context(|| format!("{} said: {stderr}", peer.name()))
}

/// Runs a function on a thread that is in the namespace and on the generator's core.
pub(crate) fn on_generator_core<T: Send>(
    namespace: &Namespace,
    function: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    namespace.run(|| {
        pin(GENERATOR_CORE)?;
        function()
    })
}
