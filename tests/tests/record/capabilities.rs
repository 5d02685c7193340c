//! What a capture may do is enough, and no more is needed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use capture_tests::{
    compare, gate,
    netns::Pair,
    process::{Ended, Process},
    recorder::{self, Recorder},
    scene::{numbered_frames, send_through},
};
use tempfile::TempDir;

/// `nobody`, on every distribution.
const NOBODY: u32 = 65534;

/// A directory of nobody's, with a program in it that nobody may run.
struct Home {
    directory: TempDir,
    program: PathBuf,
}

impl Home {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let program = directory.path().join("captured");
        fs::copy(recorder::program()?, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        chown(directory.path(), Some(NOBODY), Some(NOBODY))?;
        Ok(Self { directory, program })
    }

    fn captures(&self) -> PathBuf {
        self.directory.path().join("captures")
    }

    /// A capture as nobody with these capabilities and no others.
    fn command(&self, capabilities: &[&str], captures: &Path) -> Result<Command> {
        let mut set = String::from("-all");
        for capability in capabilities {
            set.push_str(",+");
            set.push_str(capability);
        }
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={NOBODY}"))
            .arg(format!("--regid={NOBODY}"))
            .arg("--clear-groups")
            .arg("--no-new-privs")
            .arg(format!("--bounding-set={set}"))
            .arg(format!("--inh-caps={set}"))
            .arg(format!("--ambient-caps={set}"))
            .arg(&self.program)
            .args(recorder::standard_arguments(captures)?)
            .args(["-i", "eth0", "--min-free", "0"]);
        Ok(command)
    }
}

#[test]
fn three_capabilities_are_enough() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for method in ["auto", "tcx", "clsact"] {
        let pair = Pair::new()?;
        let home = Home::new()?;
        let captures = home.captures();
        let mut command = home.command(&["bpf", "net_admin", "perfmon"], &captures)?;
        command.args(["--attach", method]);
        let recorder = Recorder::start_command(&pair.b, &captures, command)?;
        let frames = numbered_frames(0..100);
        send_through(&pair, &frames)?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(100)?;
        compare::same_frames(&recorded.packets()?, &frames)?;
    }
    Ok(())
}

#[test]
fn a_missing_capability_is_named() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let home = Home::new()?;
    let needed = ["bpf", "net_admin", "perfmon"];
    for missing in needed {
        let rest: Vec<_> = needed.into_iter().filter(|each| *each != missing).collect();
        let ended = run(&pair, home.command(&rest, &home.captures())?)?;
        let name = format!("CAP_{}", missing.to_uppercase());
        ensure!(!ended.status.success(), "it ran without {name}");
        ensure!(ended.stderr.contains(&name), "{name}: {}", ended.stderr);
        for other in rest {
            let other = format!("CAP_{}", other.to_uppercase());
            ensure!(
                !ended.stderr.contains(&format!("missing {other}")),
                "{other} is there: {}",
                ended.stderr
            );
        }
    }
    Ok(())
}

#[test]
fn a_user_without_privileges_is_told_what_it_takes() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let home = Home::new()?;
    let ended = run(&pair, home.command(&[], &home.captures())?)?;
    ensure!(!ended.status.success(), "it ran without privileges");
    for name in ["CAP_BPF", "CAP_NET_ADMIN"] {
        ensure!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
    }
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    Ok(())
}

fn run(pair: &Pair, command: Command) -> Result<Ended> {
    Process::start(&pair.b, command)?.wait()
}
