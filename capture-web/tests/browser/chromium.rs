//! Runs one path of the page in Chromium: a Node.js program that ends by itself within a limit of time.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use capture_tests::gate;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// Where `cargo xtask test` has installed what drives the browser.
const VARIABLES: [&str; 2] = [
    "CAPTURE_TEST_BROWSER_PLAYWRIGHT",
    "CAPTURE_TEST_BROWSER_AXE",
];
/// The program ends by itself before that.
const PATIENCE: Duration = Duration::from_secs(150);

/// Whether there is a browser to test with; if not, this has been reported.
pub(crate) fn is_there() -> Result<bool> {
    if let Some(name) = VARIABLES.iter().find(|name| env::var_os(name).is_none()) {
        gate::cannot_run(&format!("{name} is not set (`cargo xtask test` sets it)"))?;
        return Ok(false);
    }
    gate::has_programs(&["chromium", "node"])
}

/// Walks a path. Whatever it asks the test for is done by `help`, and then the path goes on.
pub(crate) fn walk(
    path: &str,
    given: &Value,
    mut help: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run.mjs");
    let mut node = Node(
        Command::new("node")
            .arg(program)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, which can be ended as a whole.
            .process_group(0)
            .spawn()
            .context("starting node")?,
    );
    let mut stdin = node.0.stdin.take().context("no input")?;
    let stdout = node.0.stdout.take().context("no output")?;
    let mut stderr = node.0.stderr.take().context("no errors")?;
    // By standard input, because everybody can read a command line.
    writeln!(stdin, "{given}")?;

    let (done, ended) = channel::<()>();
    let id = node.id();
    thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                end_group(id);
            }
        });
        let errors = scope.spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        let asked = || -> Result<()> {
            for line in BufReader::new(stdout).lines() {
                if let Some(request) = line?.strip_prefix("ask: ") {
                    help(request)?;
                    writeln!(stdin, "done")?;
                }
            }
            Ok(())
        }();
        if asked.is_err() {
            end_group(id);
        }
        let status = node.0.wait().context("waiting for node");
        drop(done);
        let text = match errors.join() {
            Ok(text) => text?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        asked.with_context(|| format!("helping the path {path}: {text}"))?;
        if !status?.success() {
            bail!("the path {path} failed:\n{text}");
        }
        Ok(())
    })
}

/// The program and the browser it starts; ended when dropped.
struct Node(Child);

impl Node {
    fn id(&self) -> Option<Pid> {
        i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            end_group(self.id());
            // It fails only if the program has been waited for.
            let _ = self.0.wait();
        }
    }
}

/// Chromium ends with the pipe by which it is driven.
fn end_group(id: Option<Pid>) {
    if let Some(id) = id {
        // It fails only if the group is gone.
        let _ = kill_process_group(id, Signal::KILL);
    }
}
