//! `captured record` and its surroundings: outputs that are closed, signals, files that are damaged.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    attached,
    netns::Pair,
    process::{Ended, Process},
    recorder,
    scene::{numbered_frames, send_through},
    wait,
};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Attack, scene::packets_in};

pub(crate) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "unwritable-outputs",
        done: "captured record with stderr and stdout on a full device, closed, and as a pipe that nobody reads",
        quick: true,
        run: unwritable_outputs,
    },
    Attack {
        name: "signals",
        done: "captured record gets SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ, SIGPIPE, SIGWINCH and SIGCONT",
        quick: true,
        run: signals,
    },
    Attack {
        name: "damaged-files",
        done: "captured filter test of 200 damaged capture files",
        quick: true,
        run: damaged_files,
    },
    Attack {
        name: "size-limit",
        done: "captured record under a limit of file sizes (ulimit -f)",
        quick: true,
        run: size_limit,
    },
];

/// A shell that executes `captured record` with redirections.
fn record(pair: &Pair, directory: &Path, before: &str, redirections: &str) -> Result<Process> {
    let program = recorder::program()?.display();
    let into = directory.display();
    let line = format!(
        "{before} exec {program} record -i eth0 -w {into} --compress none --min-free 0 --ring-size 1MiB {redirections}"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]);
    let process = Process::start(&pair.b, command)?;
    wait::until_true("the recorder to be attached", || {
        Ok(!attached::programs(&pair.b, "eth0")?.is_empty())
    })?;
    Ok(process)
}

fn interrupted(process: Process) -> Result<Ended> {
    process.signal(Signal::INT)?;
    process.wait()
}

fn unwritable_outputs() -> Result<String> {
    let pair = Pair::new()?;
    let mut files = Vec::new();
    for redirections in [
        ">/dev/full 2>/dev/full",
        ">&- 2>&-",
        "2>/dev/full",
        "2>&1 | exec sleep 0",
    ] {
        let directory = TempDir::new()?;
        let process = record(&pair, directory.path(), "", redirections)
            .with_context(|| redirections.to_owned())?;
        send_through(&pair, &numbered_frames(0..300))?;
        let is_piped = redirections.contains('|');
        let ended = match is_piped {
            // The shell stays, and the recorder is its child: its end shows in the interface's
            // programs.
            true => {
                let recorder = child_of(process.id())?;
                let id = rustix::process::Pid::from_raw(recorder).context("no process")?;
                rustix::process::kill_process(id, Signal::INT)?;
                process.wait()?
            }
            false => interrupted(process)?,
        };
        let code = ended.status.code();
        ensure!(
            is_piped || matches!(code, Some(0 | 1)),
            "{redirections}: {:?}: {}",
            ended.status,
            ended.stderr
        );
        wait::until_true("the recorder to be gone", || {
            Ok(attached::programs(&pair.b, "eth0")?.is_empty())
        })?;
        let packets = packets_in(directory.path())?;
        ensure!(packets == 300, "{redirections}: {packets} of 300 in files");
        files.push(packets);
    }
    Ok(format!("sent 300, files {files:?}"))
}

/// The child of a process, from /proc.
fn child_of(parent: u32) -> Result<i32> {
    wait::until("a child", || {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        for child in children.split_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.trim() == "captured" {
                return Ok(Some(child.parse()?));
            }
        }
        Ok(None)
    })
}

fn signals() -> Result<String> {
    let (pair, directory) = (Pair::new()?, TempDir::new()?);
    let mut process = record(&pair, directory.path(), "", "")?;
    process.wait_for_stderr("recording")?;
    let signals = [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::XFSZ,
        Signal::PIPE,
        Signal::WINCH,
        Signal::CONT,
    ];
    let mut sent = 0;
    for signal in signals {
        process.signal(signal)?;
        std::thread::sleep(Duration::from_millis(200));
        ensure!(
            process.is_running()?,
            "{signal:?} ended it: {}",
            process.stderr()
        );
        send_through(&pair, &numbered_frames(sent..sent + 50))?;
        sent += 50;
    }
    let ended = interrupted(process)?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let packets = packets_in(directory.path())?;
    ensure!(packets == sent, "{packets} of {sent} in files");
    let names = fs::read_dir(directory.path())?.filter_map(Result::ok);
    let files = names
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".pcapng"))
        .count();
    ensure!(
        files == 2,
        "{files} files: SIGUSR2 finishes the current one"
    );
    Ok(format!(
        "none ended it; sent {sent}, files {packets} in {files}"
    ))
}

fn damaged_files() -> Result<String> {
    let (pair, directory) = (Pair::new()?, TempDir::new()?);
    let process = record(&pair, directory.path(), "", "")?;
    send_through(&pair, &numbered_frames(0..50))?;
    interrupted(process)?;
    let mut good = fs::read_dir(directory.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let good = good.find(|path| path.extension().is_some_and(|end| end == "pcapng"));
    let good = fs::read(good.context("no file")?)?;
    let path = directory.path().join("damaged.pcapng");
    let (mut read, mut refused) = (0, 0);
    // Pseudo-random with a fixed seed.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200_usize {
        let mut bytes = good.clone();
        for _ in 0..=round % 8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
        }
        if round % 3 == 0 {
            bytes.truncate(random as usize % good.len());
        }
        fs::write(&path, &bytes)?;
        let mut command = Command::new(recorder::program()?);
        command.args(["filter", "test", "udp", "--read"]).arg(&path);
        let ended = Process::start(&pair.b, command)?.wait()?;
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        match ended.status.code() {
            Some(0) => read += 1,
            Some(1) => refused += 1,
            _ => anyhow::bail!("round {round}: {}: {}", ended.status, ended.stderr),
        }
    }
    Ok(format!(
        "{read} read, {refused} refused with a message, none crashed"
    ))
}

fn size_limit() -> Result<String> {
    let (pair, directory) = (Pair::new()?, TempDir::new()?);
    // Blocks of 512 or 1,024 bytes, depending on the shell.
    let process = record(&pair, directory.path(), "ulimit -f 400;", "")?;
    let frames = numbered_frames(0..3000);
    send_through(&pair, &frames)?;
    let ended = interrupted(process)?;
    ensure!(
        ended.status.code().is_some(),
        "a signal ended it: {}: {}",
        ended.status,
        ended.stderr
    );
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let packets = packets_in(directory.path())?;
    ensure!(
        packets <= 3000 && (packets == 3000 || !ended.stderr.is_empty()),
        "{packets} in files"
    );
    Ok(format!(
        "it ended with {}; sent 3000, files {packets}",
        ended.status.code().unwrap_or_default()
    ))
}
