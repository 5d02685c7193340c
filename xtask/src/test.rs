//! Runs every test of the workspace.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::beside::Beside;
use crate::command::{cargo_for_tests, command, shown};
use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::totals::Totals;
use crate::workspace::Profile;
use crate::{azurite, browser, helm, image, kernels, kube, packages, setup, workspace};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask test
  cargo xtask test -- rotation        the tests with `rotation` in their names
  cargo xtask test --checks           also `lint` and `fuzz --quick`, while the tests wait
  CI=true cargo xtask test            a test that cannot run here is a failure";

/// The beginning of the names of tests on the cluster. They mostly wait, and run beside all others.
const ON_THE_CLUSTER: &str = "on_two_nodes::";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run `lint` and `fuzz --quick` too, beside the tests and with the lowest priority
    #[arg(long)]
    checks: bool,
    /// Passed on to the test programs
    #[arg(last = true)]
    tests: Vec<OsString>,
}

/// Sets up, builds, runs everything, and ends with the totals.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let kubernetes = stages.time("set-up", || set_up(arguments.checks))?;
    stages.time("release build", || image::compile(Profile::Release))?;
    stages.time("images", || image::native(Profile::Release))?;
    let on_the_cluster = stages.time("test build", build)?;
    if let Some(kubernetes) = kubernetes {
        let built = stages.time("Kubernetes", || kubernetes.wait())?;
        stages.add_beside("Kubernetes", built.took);
        if !built.success {
            bail!("Kubernetes could not be built, see above");
        }
    }
    let Outcome {
        mut totals,
        cluster,
        checks,
    } = stages.time("tests", || run_all(arguments, &on_the_cluster))?;
    println!("\n== tests on a cluster\n{}", cluster.output);
    totals += cluster.totals;
    stages.add_beside("tests on a cluster", cluster.took);
    let mut failed = Vec::new();
    let ended = stages.time("rest of the checks", || -> Result<Vec<_>> {
        let wait = |(name, check): (_, Beside)| Ok((name, check.wait()?));
        checks.into_iter().map(wait).collect()
    })?;
    for (name, check) in ended {
        stages.add_beside(name, check.took);
        if !check.success {
            failed.push(name);
        }
    }

    if !totals.failures().is_empty() {
        println!("\n== failed tests\n{}", totals.failures());
    }
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
    if !failed.is_empty() {
        bail!("the tests passed, but not {}", failed.join(" and "));
    }
    Ok(())
}

/// What ran.
struct Outcome {
    totals: Totals,
    cluster: Apart,
    /// They may still run.
    checks: Vec<(&'static str, Beside)>,
}

/// Tests that ran beside others.
struct Apart {
    totals: Totals,
    output: String,
    took: Duration,
}

/// Runs every test, those on the cluster beside the others, and starts the checks.
fn run_all(arguments: &Arguments, on_the_cluster: &Path) -> Result<Outcome> {
    let environment = environment()?;
    let mut cluster = command(on_the_cluster);
    cluster
        .current_dir(workspace::root().join("tests"))
        .args(&arguments.tests)
        .envs(environment.iter().cloned());
    let mut tests = cargo_for_tests("test");
    tests
        .envs(environment)
        .args(["--no-fail-fast", "--", "--skip", ON_THE_CLUSTER])
        .args(&arguments.tests);
    let mut checks = Vec::new();
    // By then cargo has built everything, and lets go of the directory that the checks build in.
    let start_checks = || {
        if arguments.checks {
            checks.push(("lint", Beside::start(&["lint"])?));
            checks.push(("fuzz --quick", Beside::start(&["fuzz", "--quick"])?));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let cluster = scope.spawn(|| apart(cluster));
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let totals = count(&mut tests, stdout, stderr, start_checks)?;
        match cluster.join() {
            Ok(cluster) => Ok((totals, cluster?)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
    .map(|(totals, cluster)| Outcome {
        totals,
        cluster,
        checks,
    })
}

/// Installs everything. Kubernetes, if it is missing, is built beside what follows.
fn set_up(with_checks: bool) -> Result<Option<Beside>> {
    let mut purposes = vec![Purpose::Build, Purpose::Test, Purpose::Cluster];
    if with_checks {
        purposes.extend([Purpose::Lint, Purpose::Fuzz]);
    }
    packages::install_missing(&purposes)?;
    let kubernetes = if kube::is_missing()? {
        Some(Beside::start(&["cluster", "assets"])?)
    } else {
        None
    };
    setup::prepare(&[Purpose::Build, Purpose::Test, Purpose::Cluster])?;
    Ok(kubernetes)
}

/// Builds the tests, and returns the program of those that run on the cluster.
fn build() -> Result<PathBuf> {
    let mut cargo = cargo_for_tests("test");
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let line = shown(&cargo);
    eprintln!("+ {line}");
    let built = cargo
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{line}`"))?;
    if !built.status.success() {
        bail!("`{line}` failed: {}", built.status);
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    messages
        .lines()
        .find_map(program_on_the_cluster)
        .with_context(|| format!("`{line}` names no test program `cluster`"))
}

/// The program, if this message of cargo is about it.
fn program_on_the_cluster(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let is_it = target["name"] == "cluster" && target["kind"][0] == "test";
    message["executable"]
        .as_str()
        .filter(|_| is_it)
        .map(PathBuf::from)
}

/// The variables that tell tests where things are.
fn environment() -> Result<Vec<(String, OsString)>> {
    let mut variables = vec![
        // Tests that record use the program for users, not a debug build.
        ("CAPTURED".to_owned(), Profile::Release.recorder().into()),
        (
            "CAPTURE_TEST_KERNELS".to_owned(),
            kernels::directory()?.into(),
        ),
        (
            "CAPTURE_TEST_CLUSTER_ASSETS".to_owned(),
            kube::assets()?.into(),
        ),
        (
            "CAPTURE_TEST_CLUSTER_HELM".to_owned(),
            helm::program()?.into(),
        ),
        (
            "CAPTURE_TEST_CLUSTER_IMAGES".to_owned(),
            image::directory().into(),
        ),
    ];
    let named = browser::variables()?
        .into_iter()
        .chain([azurite::variable()?]);
    variables.extend(named.map(|(name, value)| (name.into(), value.into())));
    Ok(variables)
}

/// Runs tests beside others: their output is not mixed with that of these.
fn apart(mut tests: Command) -> Result<Apart> {
    let start = Instant::now();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let totals = count(&mut tests, &mut output, &mut errors, || Ok(()))?;
    let text = [errors, output].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Apart {
        totals,
        output: text.concat(),
        took: start.elapsed(),
    })
}

/// Forwards the output of a command, and counts its tests. Calls a function when the first line has come to stdout,
/// which is that of a test program.
fn count(
    command: &mut Command,
    to_stdout: impl Write,
    to_stderr: impl Write + Send,
    when_it_runs: impl FnOnce() -> Result<()>,
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
        let stderr = scope.spawn(|| forward(stderr, to_stderr, || Ok(())));
        totals += forward(stdout, to_stdout, when_it_runs)?;
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

/// Copies line by line, and calls a function after the first one. Tests may print bytes that are not UTF-8.
fn forward(
    from: Option<impl Read>,
    mut to: impl Write,
    after_the_first: impl FnOnce() -> Result<()>,
) -> Result<Totals> {
    let mut totals = Totals::default();
    let Some(from) = from else { return Ok(totals) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    let mut after_the_first = Some(after_the_first);
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Some(after_the_first) = after_the_first.take() {
            after_the_first()?;
        }
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
        let counted = count(&mut shell(&script), &mut stdout, &mut stderr, || Ok(())).unwrap();
        assert_eq!(counted.to_string(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(stdout, format!("{result}\n").as_bytes());
        assert_eq!(stderr, b"SKIPPED a: no root\n");

        let mut crash = shell("printf 'no \\377 text\\n'; exit 101");
        let crashed = count(&mut crash, &mut stdout, std::io::sink(), || Ok(())).unwrap();
        assert_eq!(crashed.to_string(), "0 passed, 1 failed, 0 skipped");
        assert!(stdout.ends_with(b"no \xff text\n"), "bytes pass unchanged");
    }
}
