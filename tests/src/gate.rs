//! Decides whether a test can run on this machine, and whether others may run at the same time.
//!
//! A test that cannot run does not simply pass: it prints a line that begins with `SKIPPED`, and if `CI` is
//! `true` it fails.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use aya::programs::ProgramType;
use rustix::fs::{FlockOperation, flock};

/// Programs that the tests with network namespaces use or compare with.
const TOOLS: [&str; 6] = ["ip", "tc", "tcpdump", "tshark", "capinfos", "setpriv"];

/// A test's permission to run, alone or with others, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _process: Option<MutexGuard<'static, ()>>,
    _machine: File,
}

static ALONE_IN_PROCESS: Mutex<()> = Mutex::new(());

/// Permits a test with network namespaces and peers such as tcpdump, while others run. `None`: this machine
/// cannot run it, which has been reported.
///
/// # Panics
/// If `CI` is `true`, instead of returning `None`.
pub fn beside_others() -> Result<Option<Permit>> {
    enter(FlockOperation::LockShared)
}

/// Permits a test while no other runs, because it changes the clock or loads the machine. See
/// [`beside_others`].
///
/// # Panics
/// If `CI` is `true`, instead of returning `None`.
pub fn alone() -> Result<Option<Permit>> {
    enter(FlockOperation::LockExclusive)
}

fn enter(lock: FlockOperation) -> Result<Option<Permit>> {
    if let Some(reason) = reason_against() {
        cannot_run(&reason)?;
        return Ok(None);
    }
    // Within one process the first lock prevents starvation of tests that run alone; between
    // processes the file does.
    let process = match lock {
        FlockOperation::LockExclusive => Some(
            ALONE_IN_PROCESS
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        ),
        _ => None,
    };
    let path = env::temp_dir().join("capture-tests.lock");
    let machine = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    flock(&machine, lock).with_context(|| format!("locking {}", path.display()))?;
    Ok(Some(Permit {
        _process: process,
        _machine: machine,
    }))
}

/// Whether this process may load eBPF programs; if not, this has been reported.
///
/// # Panics
/// If `CI` is `true`, instead of returning `false`.
pub fn may_load_bpf() -> Result<bool> {
    let reason = match aya::sys::is_program_supported(ProgramType::SchedClassifier) {
        Ok(true) => return Ok(true),
        Ok(false) => "the kernel accepts no TC programs".to_owned(),
        Err(error) => format!("cannot load eBPF programs: {}", chain(&error)),
    };
    cannot_run(&reason)?;
    Ok(false)
}

/// Whether these programs are installed; if not, this has been reported.
///
/// # Panics
/// If `CI` is `true`, instead of returning `false`.
pub fn has_programs(programs: &[&str]) -> Result<bool> {
    let missing = missing(programs);
    if let Some(reason) = &missing {
        cannot_run(reason)?;
    }
    Ok(missing.is_none())
}

/// Reports that something is not tested on this machine.
///
/// # Panics
/// If `CI` is `true`.
pub fn cannot_run(reason: &str) -> Result<()> {
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "cannot run in CI: {reason}");
    // Written directly to the file descriptor: the test harness hides the output of passing tests.
    writeln!(std::io::stderr(), "SKIPPED, NOT TESTED: {reason}")?;
    Ok(())
}

fn reason_against() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this test needs root for network namespaces and eBPF".to_owned());
    }
    missing(&TOOLS)
}

fn missing(programs: &[&str]) -> Option<String> {
    let missing: Vec<_> = programs
        .iter()
        .copied()
        .filter(|program| !in_path(program))
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "missing programs: {} (`cargo xtask setup` installs them)",
            missing.join(", ")
        )
    })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// Whether a program of this name is installed.
#[must_use]
pub fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}
