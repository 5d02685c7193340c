//! Timestamps are UTC, also when the system clock is stepped.

use anyhow::{Context as _, Result};
use capture_tests::{
    clock::{Stepped, now},
    gate,
    netns::Pair,
    packet_socket::PacketSocket,
    recorder::Recorder,
    scene::{numbered_frames, record_beside_tcpdump, send_through},
};
use tempfile::TempDir;

const STEP: i64 = 5;

#[test]
fn timestamps_are_utc_across_a_step_of_the_system_clock() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let frames = numbered_frames(0..50);
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        let sender = PacketSocket::sender(&pair.a, "eth0")?;
        sender.send_all(&frames)?;
        let stepped = Stepped::by_seconds(STEP)
            .context("stepping the system clock, which this test cannot do without, was refused")?;
        sender.send_all(&frames)?;
        drop(stepped);
        sender.send_all(&frames)
    })?;
    // tcpdump's timestamps are the kernel's, from the clock at that moment.
    scene.agrees()?;
    let jump = scene.ours[50].timestamp - scene.ours[49].timestamp;
    assert!(jump >= 4_000_000_000, "no step: {jump} ns");
    assert!(scene.ours[100].timestamp < scene.ours[99].timestamp);
    Ok(())
}

#[test]
fn a_packet_is_dated_between_its_sending_and_its_arrival() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let recorder = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?;
    let before = now();
    send_through(&pair, &numbered_frames(0..10))?;
    let after = now();
    let recorded = recorder.stop()?;
    recorded.lost_nothing(10)?;
    for packet in recorded.packets()? {
        // A millisecond for clocks that differ slightly.
        let (earliest, latest) = (before - 1_000_000, after + 1_000_000);
        assert!(
            (earliest..=latest).contains(&packet.timestamp),
            "{packet:?}"
        );
    }
    Ok(())
}
