//! An idle capture uses no CPU, and is ready for the next packet.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};
use capture_tests::{
    compare, gate,
    netns::Pair,
    recorder::Recorder,
    scene::{numbered_frames, send_through},
    wait,
};
use tempfile::TempDir;

/// How often a thread of a process has gone to sleep so far, by the thread's name.
fn sleeps(pid: u32, thread: &str) -> Result<u64> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == thread {
            let status = fs::read_to_string(task.join("status"))?;
            return status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .and_then(|count| count.trim().parse().ok())
                .with_context(|| format!("no count in {status}"));
        }
    }
    anyhow::bail!("process {pid} has no thread {thread}")
}

#[test]
fn an_idle_capture_sleeps_until_a_packet_comes_and_misses_none() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for filter in ["", "udp"] {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let arguments = ["-i", "eth0", "--rotate-interval", "1h", filter];
        let mut recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let pid = recorder.process().id();
        let mut sent = 0;
        for count in [0, 1, 500, 1] {
            send_through(&pair, &numbered_frames(sent..sent + count))?;
            sent += count;
            // It becomes idle within a second or so, whatever is written meanwhile.
            wait::until_true("the drain thread to sleep", || {
                let before = sleeps(pid, "drain")?;
                thread::sleep(Duration::from_millis(700));
                Ok(sleeps(pid, "drain")? == before)
            })?;
            // Retention is applied every two seconds while nothing is written.
            wait::until_true("the finalizer to rest", || {
                let before = sleeps(pid, "finalize")?;
                thread::sleep(Duration::from_millis(1500));
                Ok(sleeps(pid, "finalize")? <= before + 1)
            })?;
        }
        let recorded = recorder.stop()?;
        recorded.lost_nothing(sent)?;
        compare::same_frames(&recorded.packets()?, &numbered_frames(0..sent))?;
    }
    Ok(())
}

#[test]
fn packets_that_come_one_by_one_to_a_sleeping_capture_are_all_recorded() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let arguments = ["-i", "eth0", "-c", "40"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    // Around the moments at which the reader falls asleep: after 100 and after 200 ms.
    for number in 0..40 {
        send_through(&pair, &numbered_frames(number..number + 1))?;
        thread::sleep(Duration::from_millis(85 + 10 * (number % 14)));
    }
    // It ends by itself, which needs a wake-up for the last packet.
    let recorded = recorder.wait_for_success()?;
    recorded.lost_nothing(40)?;
    compare::same_frames(&recorded.packets()?, &numbered_frames(0..40))
}
