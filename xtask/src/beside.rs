//! Work that is done beside other work, while the processors have nothing better to do.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::command::{command, shown};
use crate::workspace;

/// Lines that are printed of a task that succeeded.
const LAST_LINES: usize = 10;

/// A task of xtask in a process of its own, with the lowest priority. Its output goes into a file and is printed when
/// the task has ended, so that it does not mix with that of other work.
pub(crate) struct Beside {
    line: String,
    child: Child,
    log: PathBuf,
    start: Instant,
}

/// How a task ended.
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// From its start to when it was waited for, or ended if that was later.
    pub(crate) took: Duration,
}

impl Beside {
    /// Starts `cargo xtask ARGUMENTS`.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let own = std::env::current_exe().context("looking for xtask's own program")?;
        let line = format!("cargo xtask {}", arguments.join(" "));
        let directory = workspace::target();
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let log = directory.join(format!("{}.log", arguments.join("-")));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().context("duplicating a descriptor")?;
        let mut nice = command("nice");
        nice.args(["-n", "19"]).arg(own).args(arguments);
        let start = Instant::now();
        let child = nice
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors))
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting `{}`", shown(&nice)))?;
        eprintln!("+ {line}   beside, into {}", log.display());
        Ok(Self {
            line,
            child,
            log,
            start,
        })
    }

    /// Waits for the end, and prints the output of a task that failed, of another one the last lines.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        let status = self
            .child
            .wait()
            .with_context(|| format!("waiting for `{}`", self.line))?;
        let took = self.start.elapsed();
        let output =
            std::fs::read(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
        eprintln!("\n== {}", self.line);
        let output = String::from_utf8_lossy(&output);
        let all = output.lines().count();
        let from = if status.success() {
            all.saturating_sub(LAST_LINES)
        } else {
            0
        };
        if from > 0 {
            eprintln!("{from} lines before are in {}", self.log.display());
        }
        for line in output.lines().skip(from) {
            eprintln!("{line}");
        }
        eprintln!("== {}: {status}", self.line);
        Ok(Ended {
            success: status.success(),
            took,
        })
    }
}

impl Drop for Beside {
    /// Nothing goes on when the work that it stands beside has failed.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::TERM));
            let _ = self.child.wait();
        }
    }
}
