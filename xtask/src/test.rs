//! Runs every test of the workspace.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run, shown};
use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::totals::Totals;
use crate::workspace::Profile;
use crate::{azurite, browser, helm, image, kernels, kube, setup, workspace};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask test
  cargo xtask test -- rotation        the tests with `rotation` in their names
  CI=true cargo xtask test            a test that cannot run here is a failure";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the test programs
    #[arg(last = true)]
    tests: Vec<OsString>,
}

/// Sets up, builds, runs everything, and ends with the totals.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || {
        setup::prepare(&[Purpose::Build, Purpose::Test, Purpose::Cluster])
    })?;
    stages.time("release build", || image::compile(Profile::Release))?;
    stages.time("images", || image::native(Profile::Release))?;
    stages.time("test build", || run(cargo_test().arg("--no-run")))?;
    let kernels = kernels::directory()?;
    let cluster = [
        ("ASSETS", kube::assets()?),
        ("HELM", helm::program()?),
        ("IMAGES", image::directory()),
    ];
    let totals = stages.time("tests", || {
        let mut tests = cargo_test();
        tests.env("CAPTURE_TEST_KERNELS", &kernels);
        tests.envs(browser::variables()?);
        tests.envs([azurite::variable()?]);
        for (name, path) in &cluster {
            tests.env(format!("CAPTURE_TEST_CLUSTER_{name}"), path);
        }
        tests.arg("--no-fail-fast").arg("--").args(&arguments.tests);
        count(&mut tests, std::io::stdout(), std::io::stderr())
    })?;

    println!("\n{}{totals}", stages.table());
    if totals.failed() > 0 {
        bail!("{} tests failed", totals.failed());
    }
    if totals.skipped() > 0 && workspace::is_ci() {
        bail!(
            "{} tests were skipped, which under CI=true is a failure",
            totals.skipped()
        );
    }
    if totals.passed() == 0 && arguments.tests.is_empty() {
        bail!("not one test ran");
    }
    Ok(())
}

fn cargo_test() -> Command {
    let mut cargo = cargo();
    cargo.args(["test", "--locked"]);
    // Tests that record use the program for users, not a debug build.
    cargo.env("CAPTURED", Profile::Release.recorder());
    cargo
}

/// Forwards the output of a command, and counts its tests.
fn count(
    command: &mut Command,
    to_stdout: impl Write,
    to_stderr: impl Write + Send,
) -> Result<Totals> {
    let line = shown(command);
    eprintln!("+ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{line}`"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut totals = Totals::default();
    std::thread::scope(|scope| -> Result<()> {
        let stderr = scope.spawn(|| forward(stderr, to_stderr));
        totals += forward(stdout, to_stdout)?;
        match stderr.join() {
            Ok(counted) => totals += counted?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(())
    })
    .with_context(|| format!("reading what `{line}` prints"))?;
    if !child
        .wait()
        .with_context(|| format!("waiting for `{line}`"))?
        .success()
    {
        totals.count_crash();
    }
    Ok(totals)
}

/// Copies line by line. Tests may print bytes that are not UTF-8.
fn forward(from: Option<impl Read>, mut to: impl Write) -> Result<Totals> {
    let mut totals = Totals::default();
    let Some(from) = from else { return Ok(totals) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        totals.count(String::from_utf8_lossy(&line).trim_end());
        to.write_all(&line)?;
        to.flush()?;
        line.clear();
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = crate::command::command("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn tests_are_counted_on_both_streams_and_a_crash_is_a_failure() {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = "test result: ok. 3 passed; 0 failed; 0 ignored";
        let script = format!("echo 'SKIPPED a: no root' >&2; echo '{result}'");
        let counted = count(&mut shell(&script), &mut stdout, &mut stderr).unwrap();
        assert_eq!(counted.to_string(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(stdout, format!("{result}\n").as_bytes());
        assert_eq!(stderr, b"SKIPPED a: no root\n");

        let mut crash = shell("printf 'no \\377 text\\n'; exit 101");
        let crashed = count(&mut crash, &mut stdout, std::io::sink()).unwrap();
        assert_eq!(crashed.to_string(), "0 passed, 1 failed, 0 skipped");
        assert!(stdout.ends_with(b"no \xff text\n"), "bytes pass unchanged");
    }
}
