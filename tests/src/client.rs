//! The real `capturectl`, run as a user runs it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    netns::Namespace,
    process::{Ended, Process},
};

/// `capturectl` in a network namespace, with the same options before each command, and without a
/// user's configuration.
#[derive(Debug)]
pub struct Capturectl<'a> {
    namespace: &'a Namespace,
    options: Vec<String>,
    home: TempDir,
}

impl<'a> Capturectl<'a> {
    /// A client of the daemon at a socket.
    pub fn at(namespace: &'a Namespace, socket: &Path) -> Result<Self> {
        let socket = socket.to_str().context("a path that is not UTF-8")?;
        Self::with(namespace, &["--socket", socket])
    }

    /// A client with these options before each command.
    pub fn with(namespace: &'a Namespace, options: &[&str]) -> Result<Self> {
        Ok(Self {
            namespace,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            home: TempDir::new()?,
        })
    }

    /// The directory of its and Wireshark's configuration.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program()?);
        command.args(&self.options).args(arguments);
        self.settle(&mut command);
        Ok(command)
    }

    /// Sets this client's environment for a command.
    pub fn settle(&self, command: &mut Command) {
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("CAPTURECTL_") {
                command.env_remove(name);
            }
        }
        command
            .env("XDG_CONFIG_HOME", self.home())
            .env("HOME", self.home());
    }

    /// Starts a command.
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        Process::start(self.namespace, self.command(arguments)?)
    }

    /// Runs a command to its end, successful or not.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.start(arguments)?.wait()
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn output(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments)?;
        ensure!(
            ended.status.success(),
            "capturectl {} ended with {}: {}",
            arguments.join(" "),
            ended.status,
            ended.stderr
        );
        Ok(ended.stdout)
    }

    /// Runs a command that must succeed; returns its JSON output.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        let text = self.output(&all)?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    /// Runs a command that must succeed, however long it takes; returns its peak memory in bytes.
    pub fn peak_memory(&self, arguments: &[&str]) -> Result<u64> {
        let mut command = self.command(arguments)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = self.namespace.run(|| command.spawn())?;
        let status_file = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let status = loop {
            let status = std::fs::read_to_string(&status_file).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            if let Some(kibibytes) = kibibytes {
                peak = peak.max(kibibytes.trim().parse::<u64>()? * 1024);
            }
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        ensure!(status.success(), "capturectl ended with {status}");
        Ok(peak)
    }
}

/// The program: next to the tested `captured`, or built.
pub fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let found = crate::program::find("capture-cli", "capturectl")?;
    Ok(PROGRAM.get_or_init(|| found))
}
