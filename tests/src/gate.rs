//! Whether a test can run where it is, and beside which others.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

/// Programs that the tests compare with.
const TOOLS: [&str; 6] = ["ip", "tc", "tcpdump", "tshark", "capinfos", "setpriv"];

/// A test's permission to run; others run beside it or not, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _process: Option<MutexGuard<'static, ()>>,
    _machine: File,
}

static ALONE_IN_PROCESS: Mutex<()> = Mutex::new(());

/// Lets a test run beside others. `None`: this machine cannot run it, which has been said loudly.
///
/// # Panics
/// Where `CI` is `true`, instead of returning `None`.
pub fn beside_others() -> Result<Option<Permit>> {
    enter(FlockOperation::LockShared)
}

/// Lets a test run when no other does: those that move the clock or load the machine. See
/// [`beside_others`].
///
/// # Panics
/// Where `CI` is `true`, instead of returning `None`.
pub fn alone() -> Result<Option<Permit>> {
    enter(FlockOperation::LockExclusive)
}

fn enter(lock: FlockOperation) -> Result<Option<Permit>> {
    if let Some(reason) = reason_against() {
        cannot_run(&reason)?;
        return Ok(None);
    }
    // Within one process the first lock keeps those that want to be alone from starving each other;
    // between processes the file does.
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

/// Says loudly that something is not tested here.
///
/// # Panics
/// Where `CI` is `true`.
pub fn cannot_run(reason: &str) -> Result<()> {
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "cannot run in CI: {reason}");
    // Straight to the file descriptor: the test harness hides what passing tests print.
    writeln!(std::io::stderr(), "SKIPPED, NOT TESTED: {reason}")?;
    Ok(())
}

fn reason_against() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this test needs root for network namespaces and eBPF".to_owned());
    }
    let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !in_path(tool)).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "missing programs: {} (`cargo xtask setup` installs them)",
            missing.join(", ")
        )
    })
}

/// Whether a program of this name can be found.
#[must_use]
pub fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}
