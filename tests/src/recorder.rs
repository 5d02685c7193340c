//! The real `captured record`, run like a user runs it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use crate::{
    capture_file::{self, Contents, Packet},
    netns::Namespace,
    process::{Ended, Process},
    summary::{Ledger, Summary},
};

/// A capture that is recording.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    directory: PathBuf,
}

/// A capture that has ended by itself or on a signal, with a summary.
#[derive(Debug)]
pub struct Recorded {
    /// How the process ended and what it printed.
    pub ended: Ended,
    /// Its report.
    pub summary: Summary,
    directory: PathBuf,
}

impl Recorder {
    /// Starts a capture into a directory and waits until it records on every interface.
    pub fn start(namespace: &Namespace, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.args(standard_arguments(directory)?).args(arguments);
        if !arguments.contains(&"--min-free") {
            // The test must not depend on how full this machine's disk is.
            command.args(["--min-free", "0"]);
        }
        Self::start_command(namespace, directory, command)
    }

    /// Like [`Self::start`], with a command that was created elsewhere.
    pub fn start_command(
        namespace: &Namespace,
        directory: &Path,
        command: Command,
    ) -> Result<Self> {
        let mut process = Process::start(namespace, command)?;
        process.wait_for_stderr("recording")?;
        Ok(Self {
            process,
            directory: directory.to_owned(),
        })
    }

    /// The process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The directory of the files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tells it to stop, waits, and checks that it ended well.
    pub fn stop(self) -> Result<Recorded> {
        self.process.signal(Signal::INT)?;
        self.wait_for_success()
    }

    /// Waits until it ends by itself, and checks that it ended well.
    pub fn wait_for_success(self) -> Result<Recorded> {
        let recorded = self.wait()?;
        recorded.ended_well()?;
        Ok(recorded)
    }

    /// Waits until it ends by itself, successful or not; its ledger adds up in any case.
    pub fn wait(self) -> Result<Recorded> {
        Recorded::new(self.process.wait()?, self.directory)
    }

    /// Stops it and waits, like [`Self::stop`]; also returns its CPU time.
    pub fn stop_with_cpu_time(self) -> Result<(Recorded, Duration)> {
        self.process.signal(Signal::INT)?;
        let (ended, cpu) = self.process.wait_with_cpu_time()?;
        let recorded = Recorded::new(ended, self.directory)?;
        recorded.ended_well()?;
        Ok((recorded, cpu))
    }

    /// Waits until the process ends, possibly without a summary.
    pub fn end(self) -> Result<Ended> {
        self.process.wait()
    }

    /// Kills it with SIGKILL.
    pub fn kill(self) -> Result<()> {
        self.process.signal(Signal::KILL)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Recorded {
    fn new(ended: Ended, directory: PathBuf) -> Result<Self> {
        let summary: Summary = serde_json::from_str(&ended.stdout)
            .with_context(|| format!("no summary in {ended:?}"))?;
        summary.adds_up()?;
        Ok(Self {
            ended,
            summary,
            directory,
        })
    }

    fn ended_well(&self) -> Result<()> {
        ensure!(
            self.ended.status.success(),
            "the capture ended with {}: {}",
            self.ended.status,
            self.ended.stderr
        );
        Ok(())
    }

    /// Paths of the files, oldest first.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let files = self.summary.files.iter();
        files.map(|file| self.directory.join(&file.file)).collect()
    }

    /// Reads every file, and checks that each has the reported length and number of packets, that
    /// together they contain what the ledger counts as written, and that nothing unfinished is left.
    pub fn files(&self) -> Result<Vec<Contents>> {
        let mut files = Vec::new();
        for (file, path) in self.summary.files.iter().zip(self.paths()) {
            let length = std::fs::metadata(&path)
                .with_context(|| format!("{} is in the summary", path.display()))?
                .len();
            ensure!(
                length == file.bytes,
                "{} has {length} bytes, the summary says {}",
                path.display(),
                file.bytes
            );
            let contents = capture_file::read(&path)?;
            ensure!(
                contents.packets.len() as u64 == file.packets,
                "{} holds {} packets, the summary says {}",
                path.display(),
                contents.packets.len(),
                file.packets
            );
            files.push(contents);
        }
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let own = name.starts_with(&format!("{}-", self.summary.name));
            ensure!(
                !(own && name.ends_with(".part")),
                "{name} is left unfinished"
            );
        }
        let packets: usize = files.iter().map(|file| file.packets.len()).sum();
        ensure!(
            packets as u64 == self.summary.total.written,
            "the files hold {packets} packets: {:?}",
            self.summary.total
        );
        Ok(files)
    }

    /// All packets of all files, in order; see [`Self::files`].
    pub fn packets(&self) -> Result<Vec<Packet>> {
        let files = self.files()?;
        Ok(files.into_iter().flat_map(|file| file.packets).collect())
    }

    /// Checks that the capture saw exactly this many packets and wrote each of them.
    pub fn lost_nothing(&self, sent: u64) -> Result<()> {
        let Ledger { seen, written, .. } = self.summary.total;
        ensure!(
            seen == sent && written == sent,
            "{sent} packets were sent: {:?}",
            self.summary.total
        );
        Ok(())
    }
}

/// Runs `captured` with these arguments to its end.
pub fn run(namespace: &Namespace, arguments: &[&str]) -> Result<Ended> {
    let mut command = Command::new(program()?);
    command.args(arguments);
    Process::start(namespace, command)?.wait()
}

/// The arguments of every test's capture.
pub fn standard_arguments(directory: &Path) -> Result<[String; 5]> {
    let directory = directory.to_str().context("a path that is not UTF-8")?;
    Ok(["record", "-w", directory, "--summary", "json"].map(str::to_owned))
}

/// The program: the one that `CAPTURED` names, or the workspace's own, built first so that it matches
/// the source. A release build if there is one, because users run that.
pub fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let found = find_program()?;
    Ok(PROGRAM.get_or_init(|| found))
}

/// cargo, without the variables about its package that it has set for this test: crates that read
/// them (ring does) would be rebuilt each time that a test and a person take turns.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn find_program() -> Result<PathBuf> {
    built("CAPTURED", "capture-daemon", "captured")
}

/// A program of the workspace: the one that a variable names, or one that is built now, beside this test.
pub(crate) fn built(variable: &str, package: &str, program: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "{variable} names {}, which is not a file",
            path.display()
        );
        return Ok(path);
    }
    // target/PROFILE/deps/TEST or target/PROFILE/PROGRAM
    let own = env::current_exe()?;
    let profile = own
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"))
        .context("a test without a target directory")?;
    let mut build = cargo();
    build
        .args(["build", "--quiet", "--package", package, "--bin", program])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().context("running cargo")?;
    if !status.success() {
        bail!("building {program} failed");
    }
    let path = profile.join(program);
    ensure!(path.is_file(), "no {} after a build", path.display());
    Ok(path)
}
