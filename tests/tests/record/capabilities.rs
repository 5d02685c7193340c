//! The documented capabilities are sufficient, and each of them is necessary.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
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

/// A directory of nobody's, with a copy of the program.
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

    /// A capture as nobody with only these capabilities.
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

/// A command in `pair.b`, run by another program that restricts it.
fn restricted(pair: &Pair, words: &[&str], options: &[&str]) -> Result<Ended> {
    let directory = TempDir::new()?;
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(recorder::program()?)
        .args(recorder::standard_arguments(directory.path())?)
        .args(["-i", "eth0", "--min-free", "0", "--duration", "1s"])
        .args(options);
    run(pair, command)
}

/// Fails with EPERM on bpf(2) (number 321 on x86-64, 280 elsewhere) and runs its arguments.
const WITHOUT_BPF: &str = "
import ctypes, os, platform, struct, sys
number = 321 if platform.machine() == 'x86_64' else 280
program = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *insn) for insn in program))
class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program), ctypes.addressof(code)))) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn what_forbids_bpf_although_the_capabilities_are_there_is_named() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let mut cases: Vec<(&[&str], &str)> = vec![
        (&["unshare", "--user", "--map-root-user"], "user namespace"),
        // Enough to start, but not for the maps.
        (&["prlimit", "--nofile=14"], "raise the limit (ulimit -n"),
    ];
    if gate::in_path("python3") {
        cases.push((&["python3", "-c", WITHOUT_BPF], "seccomp"));
    } else {
        gate::cannot_run("no python3 to set a seccomp filter with")?;
    }
    for (words, cause) in cases {
        let ended = restricted(&pair, words, &[])?;
        ensure!(!ended.status.success(), "it ran in spite of {words:?}");
        ensure!(ended.stderr.contains(cause), "{cause}: {}", ended.stderr);
        ensure!(!ended.stderr.contains("missing CAP"), "{}", ended.stderr);
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    Ok(())
}

/// A control group of 64 MiB, removed when dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new() -> Result<Option<Self>> {
        let name = format!("captest-{}", std::process::id());
        for (root, limit) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            let group = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if fs::write(group.0.join(limit), "67108864").is_ok() {
                return Ok(Some(group));
            }
        }
        gate::cannot_run("no control group with a memory limit can be made here")?;
        Ok(None)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_ring_that_the_control_group_has_no_memory_for_is_refused_with_the_way_out() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let Some(group) = ControlGroup::new()? else {
        return Ok(());
    };
    let join = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.0.display());
    let words = ["sh", "-c", &join, "sh"];
    // More than the limit, and more than is left besides the recorder itself.
    for ring in ["256MiB", "64MiB"] {
        let ended = restricted(&pair, &words, &["-B", ring])?;
        ensure!(!ended.status.success(), "{ring} fitted into 64 MiB");
        for part in ["64.0 MiB of memory", "--ring-size"] {
            ensure!(ended.stderr.contains(part), "{ring}: {}", ended.stderr);
        }
    }
    let ended = restricted(&pair, &words, &["-B", "8MiB"])?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}
