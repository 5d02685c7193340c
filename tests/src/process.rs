//! A child process whose output is read as it arrives, and which does not outlive its guard.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{netns::Namespace, usage, wait};

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Set when its process id may belong to another process.
    reaped: bool,
    what: String,
    stdout: Output,
    stderr: Output,
}

#[derive(Debug)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a program in a network namespace, with both outputs piped and no input.
    pub fn start(namespace: &Namespace, command: Command) -> Result<Self> {
        Self::start_into(namespace, command, Stdio::piped())
    }

    /// Like [`Self::start`], with a standard output of the caller's, which is not read here.
    pub fn start_into(namespace: &Namespace, mut command: Command, stdout: Stdio) -> Result<Self> {
        let what = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped());
        let mut child = namespace
            .run(|| command.spawn())
            .with_context(|| format!("starting {what}"))?;
        let stdout = Output::collect(child.stdout.take());
        let stderr = Output::collect(child.stderr.take());
        Ok(Self {
            child,
            reaped: false,
            what,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// Its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until its standard error contains a text; an error if it ends before.
    pub fn wait_for_stderr(&mut self, text: &str) -> Result<()> {
        wait::until_true(&format!("{text:?} from {}", self.what), || {
            if self.stderr.so_far().contains(text) {
                return Ok(true);
            }
            if let Some(status) = self.child.try_wait()? {
                self.stderr.finish();
                bail!(
                    "{} ended with {status} before it said {text:?}: {}",
                    self.what,
                    self.stderr.so_far()
                );
            }
            Ok(false)
        })
        .with_context(|| format!("it said: {}", self.stderr.so_far()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.context("a process id that is none")?;
        kill_process(id, signal).with_context(|| format!("signalling {}", self.what))
    }

    /// Waits until it ends.
    pub fn wait(mut self) -> Result<Ended> {
        let status = wait::until(&format!("the end of {}", self.what), || {
            Ok(self.child.try_wait()?)
        })
        .with_context(|| format!("it said: {}", self.stderr.so_far()))?;
        self.stdout.finish();
        self.stderr.finish();
        Ok(Ended {
            status,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        })
    }
}

impl Process {
    /// Waits until it ends; also returns the CPU time of all its threads.
    pub fn wait_with_cpu_time(mut self) -> Result<(Ended, Duration)> {
        let (status, cpu) = wait::until(&format!("the end of {}", self.what), || {
            let ended = usage::try_wait(self.child.id())?;
            Ok(ended.map(|(status, used)| (status, used.cpu)))
        })?;
        self.reaped = true;
        self.stdout.finish();
        self.stderr.finish();
        let ended = Ended {
            status,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        };
        Ok((ended, cpu))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn collect(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let reader = pipe.map(|pipe| {
            let text = Arc::clone(&text);
            std::thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    text.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_str(&String::from_utf8_lossy(&line));
                    line.clear();
                }
            })
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The reader has no way to fail.
            let _ = reader.join();
        }
    }
}
