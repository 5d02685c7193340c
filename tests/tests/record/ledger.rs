//! The ledger is correct.

use std::{fs, sync::Barrier, thread};

use anyhow::{Context as _, Result, anyhow};
use capture_tests::{
    capture_file::Packet,
    compare, frame, gate,
    generator::{Generator, Load},
    netns::Pair,
    recorder::{Recorded, Recorder},
    scene::{numbered_frames, record_beside_tcpdump, send_through, transfer},
    stopped_thread::StoppedThread,
};
use tempfile::TempDir;

/// Records `b`'s interface while `count` packets are injected into it.
fn record_load(directory: &TempDir, arguments: &[&str], load: Load) -> Result<Recorded> {
    let pair = Pair::new()?;
    let mut all = vec!["-i", "eth0"];
    all.extend(arguments);
    let mut generator = Generator::load()?;
    let recorder = Recorder::start(&pair.b, directory.path(), &all)?;
    let sent = generator.send(&pair.b, "eth0", &load)?;
    assert_eq!(sent.count, u64::from(load.count));
    recorder.stop()
}

#[test]
fn every_packet_sent_is_seen_and_written_in_every_format_and_compression() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let frames = numbered_frames(0..3000);
    for format in ["pcap", "pcapng"] {
        for compression in ["none", "gzip", "gzip:9", "zstd", "zstd:1"] {
            for when in ["streaming", "rotated"] {
                let pair = Pair::new()?;
                let directory = TempDir::new()?;
                let arguments = [
                    "-i",
                    "eth0",
                    "--format",
                    format,
                    "--compress",
                    compression,
                    "--compress-when",
                    when,
                ];
                let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
                send_through(&pair, &frames)?;
                let recorded = recorder.stop()?;
                let case = || arguments.join(" ");
                recorded
                    .lost_nothing(frames.len() as u64)
                    .with_context(case)?;
                compare::same_frames(&recorded.packets()?, &frames).with_context(case)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_a_full_ring_loses_is_counted_and_the_rest_is_in_the_files() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    const SENT: u32 = 1_000_000;
    let directory = TempDir::new()?;
    let recorded = record_load(
        &directory,
        // Too small for the load, and too much work for each packet.
        &["-B", "128KiB", "--compress", "zstd:19"],
        Load {
            frame: frame::numbered(0, 300),
            count: SENT,
            rate: None,
            cpu: None,
        },
    )?;
    let ledger = recorded.summary.total;
    assert_eq!(ledger.seen, u64::from(SENT), "{ledger:?}");
    assert!(ledger.ring_full > 0, "nothing was lost: {ledger:?}");
    assert!(ledger.written > 0, "nothing was written: {ledger:?}");
    let packets = recorded.packets()?;
    let mut next = 0;
    for packet in &packets {
        let number = frame::number(&packet.bytes).context("a frame without a number")?;
        assert!(number >= next, "{number} after {next}");
        assert!(number < u64::from(SENT), "{number} was never sent");
        next = number + 1;
    }
    Ok(())
}

#[test]
fn what_the_front_ring_has_no_room_for_is_recorded_in_its_place() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    // The first ones alone are five times the size of the front ring, all of them less than the spill
    // ring.
    const FIRST: u32 = 7_000;
    const THEN: u32 = 50_000;
    const INTERFACES: [&str; 2] = ["eth0", "eth1"];
    let pair = Pair::new()?;
    pair.b.ip(&format!(
        "link add eth1 type veth peer name eth1 netns {}",
        pair.a.name()
    ))?;
    for namespace in [&pair.a, &pair.b] {
        namespace.ip("link set eth1 arp off multicast off")?;
        namespace.run(|| fs::write("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", "1"))?;
        namespace.ip("link set eth1 up")?;
    }
    let directory = TempDir::new()?;
    let mut recorder = Recorder::start(
        &pair.b,
        directory.path(),
        &["-i", "eth0", "-i", "eth1", "-B", "256MiB"],
    )?;
    // Each interface has a separate CPU, which numbers its packets from 0.
    let send = |count: u32, begun: &Barrier| -> Result<()> {
        thread::scope(|scope| {
            let sending: Vec<_> = (0..)
                .zip(INTERFACES)
                .map(|(cpu, interface)| {
                    let namespace = &pair.b;
                    let load = Load {
                        frame: frame::numbered(0, 1514),
                        count,
                        rate: Some(100_000),
                        cpu: Some(cpu),
                    };
                    scope.spawn(move || -> Result<()> {
                        let mut generator = Generator::load()?;
                        begun.wait();
                        let sent = generator.send(namespace, interface, &load)?;
                        assert_eq!(sent.count, u64::from(count));
                        Ok(())
                    })
                })
                .collect();
            begun.wait();
            sending
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a sender panicked"))?)
        })
    };
    let begun = Barrier::new(INTERFACES.len() + 1);
    let stopped = StoppedThread::of(recorder.process().id(), "drain")?;
    send(FIRST, &begun)?;
    // From here on the reader catches up while more packets come: the front ring sometimes has
    // room.
    drop(stopped);
    send(THEN, &begun)?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(u64::from(INTERFACES.len() as u32 * (FIRST + THEN)))?;
    let packets = recorded.packets()?;
    for interface in 0..INTERFACES.len() as u32 {
        let numbers = packets
            .iter()
            .filter(|packet| packet.interface == interface)
            .map(|packet| frame::number(&packet.bytes));
        let sent = (0..FIRST).chain(0..THEN).map(u64::from).map(Some);
        assert!(numbers.eq(sent), "interface {interface} is out of order");
    }
    Ok(())
}

#[test]
fn under_a_flood_what_is_filtered_and_what_matches_are_all_that_was_sent() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    const SENT: u32 = 1_000_000;
    let directory = TempDir::new()?;
    let recorded = record_load(
        &directory,
        // The last byte of the number: every other packet, far more than fit into the ring.
        &[
            "-B",
            "128KiB",
            "--compress",
            "zstd:19",
            "ether[49] & 1 = 0 and udp port 4001",
        ],
        Load {
            frame: frame::numbered(0, 300),
            count: SENT,
            rate: None,
            cpu: None,
        },
    )?;
    let ledger = recorded.summary.total;
    assert_eq!(ledger.seen, u64::from(SENT), "{ledger:?}");
    assert_eq!(ledger.filtered, u64::from(SENT / 2), "{ledger:?}");
    assert!(ledger.ring_full > 0, "nothing was lost: {ledger:?}");
    assert!(ledger.written > 0, "nothing was written: {ledger:?}");
    let mut last = None;
    for packet in recorded.packets()? {
        let number = frame::number(&packet.bytes).context("a frame without a number")?;
        assert!(number % 2 == 0, "{number} does not match");
        assert!(Some(number) > last, "{number} after {last:?}");
        last = Some(number);
    }
    Ok(())
}

#[test]
fn a_pcapng_file_says_what_was_lost() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let directory = TempDir::new()?;
    let recorded = record_load(
        &directory,
        // Without the compression a recorder may lose nothing.
        &["-B", "128KiB", "--compress", "zstd:19"],
        Load {
            frame: frame::numbered(0, 300),
            count: 1_000_000,
            rate: None,
            cpu: None,
        },
    )?;
    let ledger = recorded.summary.total;
    assert!(ledger.ring_full > 0, "nothing was lost: {ledger:?}");
    let files = recorded.files()?;
    let last = files.last().context("no file")?;
    let statistics = last.statistics.last().context("no statistics")?;
    assert_eq!(statistics.received, Some(ledger.seen));
    assert_eq!(
        statistics.dropped,
        Some(ledger.ring_full + ledger.unreadable)
    );
    Ok(())
}

#[test]
fn a_shortened_packet_keeps_its_length_and_is_counted() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for format in ["pcap", "pcapng"] {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let arguments = ["-i", "eth0", "-s", "96", "--format", format];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let frames: Vec<_> = [60, 95, 96, 97, 500, 1514]
            .map(|length| frame::numbered(0, length))
            .to_vec();
        send_through(&pair, &frames)?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(frames.len() as u64)?;
        assert_eq!(recorded.summary.total.truncated, 3);
        for (packet, frame) in recorded.packets()?.iter().zip(&frames) {
            assert_eq!(packet.original_length as usize, frame.len());
            assert_eq!(packet.bytes, frame[..frame.len().min(96)]);
        }
    }
    Ok(())
}

#[test]
fn a_packet_too_long_to_be_captured_whole_is_shortened_and_counted() -> Result<()> {
    const MOST: usize = 65_568;
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    for (namespace, address) in [(&pair.a, "fd00::a"), (&pair.b, "fd00::b")] {
        // BIG TCP over IPv6, Linux 5.19.
        if let Err(error) = namespace.ip("link set eth0 gso_max_size 200000 gro_max_size 200000") {
            return gate::cannot_run(&format!("packets longer than 64 KiB: {error:#}"));
        }
        namespace.run(|| fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0"))?;
        namespace.ip(&format!("addr add {address}/64 dev eth0 nodad"))?;
    }
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        transfer(&pair.a, &pair.b, "[fd00::b]:5001", 32 << 20)
    })?;
    let long = |packets: &[Packet]| -> Vec<Packet> {
        let long = packets.iter();
        long.filter(|packet| packet.original_length as usize > MOST)
            .cloned()
            .collect()
    };
    let (ours, theirs) = (long(&scene.ours), long(&scene.theirs));
    assert!(!theirs.is_empty(), "no packet was longer than {MOST} bytes");
    assert_eq!(ours.len(), theirs.len());
    let ledger = scene.recorded.summary.total;
    assert_eq!(ledger.truncated, ours.len() as u64, "{ledger:?}");
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our.original_length, their.original_length);
        assert_eq!(our.bytes, their.bytes[..MOST]);
    }
    Ok(())
}
