//! The same packets as tcpdump.

use std::{
    net::UdpSocket,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use capture_tests::{
    capture_file::Direction,
    compare,
    frame::{self, IPV4, IPV6, Ipv4, QINQ, VLAN},
    gate,
    netns::{Namespace, Pair},
    packet_socket::{PacketSocket, VirtioHeader},
    recorder::Recorder,
    scene::{numbered_frames, record_beside_tcpdump, transfer},
    tcpdump::Tcpdump,
    tun::Tun,
};
use tempfile::TempDir;

const UDP: u8 = 17;
const TCP: u8 = 6;

fn datagram(length: usize) -> Vec<u8> {
    let header = Ipv4 {
        protocol: UDP,
        ..Ipv4::default()
    };
    frame::ipv4_to(
        frame::ADDRESS_NOBODY,
        header,
        &frame::udp(1, 2, &vec![0xa5; length]),
    )
}

/// Frames of every kind; `b` answers some of them.
pub(crate) fn every_kind_of_frame() -> Vec<Vec<u8>> {
    let mut frames = vec![frame::arp_request()];
    let protocol = |protocol| Ipv4 {
        protocol,
        ..Ipv4::default()
    };
    // An echo request, which b answers.
    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    echo.extend([0x11; 48]);
    let sum = frame::checksum(&echo);
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    frames.push(frame::ethernet(IPV4, &frame::ipv4(protocol(1), &echo)));
    // A datagram to a closed port, which b answers.
    let closed = frame::udp(1, 9, b"anybody there?");
    frames.push(frame::ethernet(IPV4, &frame::ipv4(protocol(UDP), &closed)));
    frames.push(frame::ethernet(
        IPV4,
        &frame::ipv4(protocol(TCP), &frame::tcp(1, 2, b"out of the blue")),
    ));
    // Two fragments of one datagram that will never be whole.
    for (fragment_offset, more_fragments) in [(0, true), (1480, true)] {
        let header = Ipv4 {
            protocol: UDP,
            identification: 7,
            fragment_offset,
            more_fragments,
        };
        frames.push(frame::ethernet(IPV4, &frame::ipv4(header, &[0x33; 1480])));
    }
    // IPv6: plain; hop-by-hop, destination and routing headers; a fragment.
    let inner = frame::udp(1, 2, b"six");
    frames.push(frame::ethernet(IPV6, &frame::ipv6(UDP, &inner)));
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let extended = [
        &options(60)[..],
        &options(43)[..],
        &[44, 0, 0, 0, 0, 0, 0, 0],
        &[UDP, 0, 0, 1, 0, 0, 0, 9],
        &inner,
    ]
    .concat();
    frames.push(frame::ethernet(IPV6, &frame::ipv6(0, &extended)));
    // Multicast, broadcast, another host's.
    for destination in [
        [1, 0, 0x5e, 0, 0, 0xfb],
        [0x33, 0x33, 0, 0, 0, 1],
        [0xff; 6],
        [2, 0, 0, 0, 0, 0x77],
    ] {
        frames.push(frame::ethernet_to(destination, IPV4, &datagram(30)));
    }
    // Tags: one, one with priority only, two, two of the same kind, three, and only QinQ.
    let plain = frame::ethernet(IPV4, &datagram(100));
    for tags in [
        &[(VLAN, 0x2064)][..],
        &[(VLAN, 0xe000)],
        &[(VLAN, 5), (QINQ, 0x3064)],
        &[(VLAN, 5), (VLAN, 6)],
        &[(VLAN, 1), (VLAN, 2), (QINQ, 3)],
        &[(QINQ, 0x0fff)],
    ] {
        let tag = |frame: Vec<u8>, &(kind, identifier): &(u16, u16)| {
            frame::tagged(kind, identifier, &frame)
        };
        frames.push(tags.iter().fold(plain.clone(), tag));
    }
    // Tagged, with the maximum length.
    let longest = frame::ethernet(IPV4, &datagram(1500 - 28));
    frames.push(frame::tagged(VLAN, 9, &longest));
    frames.push(longest);
    // 802.3 with a length in place of the type, and unknown types.
    frames.push(frame::ethernet(38, &[0xaa; 46]));
    frames.push(frame::ethernet(0x1234, &[0xbb; 200]));
    // Only a header, and every length around the sizes in which the kernel passes packets on.
    frames.push(frame::ethernet(IPV4, &[]));
    for size in [15, 16, 33, 34, 42, 63, 64, 65, 95, 96, 97, 159, 160, 161] {
        frames.push(frame::ethernet(0x1234, &vec![0xcc; size - 14]));
    }
    for size in [287_usize, 288, 289, 543, 544, 545, 1055, 1056, 1057, 1513] {
        frames.push(frame::ethernet(0x1234, &vec![0xdd; size - 14]));
    }
    frames
}

#[test]
fn every_kind_of_frame_is_recorded_as_tcpdump_records_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let frames = every_kind_of_frame();
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
        PacketSocket::sender(&pair.b, "eth0")?.send_all(&frames)
    })?;
    scene.agrees_by_direction()?;
    // Besides the peer's view there is the sender's; one frame ends the traffic.
    let came_in = scene.ours_of(Direction::In);
    compare::same_frames(&came_in[..frames.len()], &frames)
}

#[test]
fn frames_that_go_one_way_keep_their_order_in_both_formats() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for arguments in [
        &["--format", "pcap"][..],
        &["--format", "pcapng"],
        &["--format", "pcap", "--compress", "gzip"],
        &["--format", "pcapng", "--compress", "zstd"],
    ] {
        let pair = Pair::new()?;
        let frames: Vec<_> = (0..300)
            .map(|number| frame::numbered(number, 60 + number as usize * 4))
            .collect();
        let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", arguments, || {
            PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)
        })
        .with_context(|| format!("{arguments:?}"))?;
        scene.agrees().with_context(|| format!("{arguments:?}"))?;
        compare::same_frames(&scene.ours[..frames.len()], &frames)?;
    }
    Ok(())
}

/// A busy machine may preempt between one recorder's reading of the clock and the other's, so a packet
/// may differ by more now and then; but not on every try, and never before it was sent.
#[test]
fn every_timestamp_is_within_a_millisecond_of_tcpdumps() -> Result<()> {
    const TRIES: usize = 10;
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let frames = numbered_frames(0..200);
    let mut furthest = Vec::new();
    for _ in 0..TRIES {
        let mut before = Vec::new();
        let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
            let sender = PacketSocket::sender(&pair.a, "eth0")?;
            for frame in &frames {
                before.push(utc_now());
                sender.send(frame)?;
                sleep(Duration::from_micros(500));
            }
            Ok(())
        })?;
        let end = utc_now();
        scene.agrees()?;
        for (packet, before) in scene.ours.iter().zip(&before) {
            ensure!(
                (*before..=end).contains(&packet.timestamp),
                "sent at {before}, stamped {}, all over at {end}",
                packet.timestamp
            );
        }
        let apart = scene.ours.iter().zip(&scene.theirs);
        let apart = apart.map(|(our, their)| our.timestamp.abs_diff(their.timestamp));
        let most = apart.max().unwrap_or(u64::MAX);
        if most <= compare::TIMESTAMP_TOLERANCE {
            return Ok(());
        }
        furthest.push(most);
    }
    bail!(
        "on each of {TRIES} tries a timestamp was off by more than a millisecond: {furthest:?} ns"
    )
}

/// The system clock, in nanoseconds since 1970.
fn utc_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[test]
fn jumbo_frames_are_recorded_whole() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::with_mtu(9000)?;
    let frames: Vec<_> = [
        1515, 1535, 1536, 1537, 2591, 2592, 2593, 4607, 4608, 4609, 8191, 9000, 9013, 9014,
    ]
    .into_iter()
    .map(|length| frame::numbered(0, length))
    .collect();
    let tagged: Vec<_> = frames
        .iter()
        .map(|frame| frame::tagged(VLAN, 100, frame))
        .collect();
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        let sender = PacketSocket::sender(&pair.a, "eth0")?;
        sender.send_all(&frames)?;
        sender.send_all(&tagged)
    })?;
    scene.agrees_by_direction()?;
    let sent = [frames, tagged].concat();
    compare::same_frames(&scene.ours[..sent.len()], &sent)
}

/// A TCP frame of `length` bytes and the header that tells the kernel to keep it whole.
pub(crate) fn unsegmented(length: usize) -> (VirtioHeader, Vec<u8>) {
    let payload: Vec<_> = (0..length - 54).map(|byte| (byte % 251) as u8).collect();
    let header = Ipv4 {
        protocol: TCP,
        ..Ipv4::default()
    };
    let packet = frame::ipv4_to(
        frame::ADDRESS_NOBODY,
        header,
        &frame::tcp(4000, frame::PORT, &payload),
    );
    let header = VirtioHeader {
        flags: 1,
        gso_type: 1,
        header_length: 54,
        gso_size: 1448,
        checksum_start: 34,
        checksum_offset: 16,
    };
    (header, frame::ethernet(IPV4, &packet))
}

#[test]
fn packets_that_are_not_segmented_yet_and_not_linear_are_recorded_whole() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    // Up to the default maximum of an interface (gso_max_size, 65,536).
    let packets: Vec<_> = [
        1600, 2900, 4608, 4609, 9248, 9249, 16_384, 20_512, 20_513, 32_768, 65_000, 65_535,
    ]
    .into_iter()
    .map(unsegmented)
    .collect();
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        for from in [&pair.a, &pair.b] {
            let sender = PacketSocket::sender(from, "eth0")?.with_virtio_headers()?;
            for (header, frame) in &packets {
                sender.send_unsegmented(*header, frame)?;
            }
        }
        Ok(())
    })?;
    scene.agrees_by_direction()?;
    let frames: Vec<_> = packets.into_iter().map(|(_, frame)| frame).collect();
    compare::same_frames(&scene.ours_of(Direction::In)[..frames.len()], &frames)?;
    compare::same_frames(&scene.ours_of(Direction::Out)[..frames.len()], &frames)
}

#[test]
fn a_tcp_stream_is_recorded_as_tcpdump_records_it() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let scene = record_beside_tcpdump(&pair.b, &pair.a, "eth0", &[], || {
        transfer(&pair.a, &pair.b, "10.0.0.2:5001", 4 << 20)
    })?;
    scene.agrees_by_direction()?;
    let longest = scene.ours.iter().map(|packet| packet.bytes.len()).max();
    assert!(
        longest > Some(1514),
        "no segmentation offload took place: {longest:?}"
    );
    Ok(())
}

#[test]
fn each_packet_on_the_loopback_interface_is_recorded_once() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let namespace = Namespace::new()?;
    let directory = TempDir::new()?;
    for interface in ["lo", "any"] {
        let peer = Tcpdump::start(&namespace, "lo", &[])?;
        let directory = directory.path().join(interface);
        let recorder = Recorder::start(&namespace, &directory, &["-i", interface])?;
        namespace.run(|| -> Result<()> {
            let receiver = UdpSocket::bind("127.0.0.1:4001")?;
            let sender = UdpSocket::bind("127.0.0.1:4000")?;
            for number in 0..200_u64 {
                sender.send_to(&number.to_be_bytes(), "127.0.0.1:4001")?;
                receiver.recv(&mut [0; 8])?;
            }
            Ok(())
        })?;
        let theirs = peer.stop_after(200)?;
        let recorded = recorder.stop()?;
        compare::same_packets(&recorded.packets()?, &theirs)?;
        recorded.lost_nothing(200)?;
    }
    Ok(())
}

#[test]
fn a_device_without_link_layer_headers_is_recorded_as_raw_packets() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const RAW: u32 = 101;
    for format in ["pcap", "pcapng"] {
        let namespace = Namespace::new()?;
        let mut tun = Tun::new(&namespace, "tun0")?;
        namespace.ip("addr add 10.9.0.1/24 dev tun0")?;
        let directory = TempDir::new()?;
        let peer = Tcpdump::start(&namespace, "tun0", &[])?;
        let recorder = Recorder::start(
            &namespace,
            directory.path(),
            &["-i", "tun0", "--format", format],
        )?;
        let packets = [
            datagram(0),
            datagram(37),
            datagram(1400),
            frame::ipv6(UDP, &frame::udp(1, 2, b"six")),
        ];
        for packet in &packets {
            tun.send(packet)?;
        }
        let outgoing = namespace.run(|| -> Result<Vec<Vec<u8>>> {
            let socket = UdpSocket::bind("10.9.0.1:4000")?;
            (0..5_usize)
                .map(|number| {
                    socket.send_to(&vec![7; number * 100], "10.9.0.2:4001")?;
                    tun.receive()
                })
                .collect()
        })?;
        let theirs = peer.stop_after(packets.len() + outgoing.len())?;
        let recorded = recorder.stop()?;
        let ours = recorded.packets()?;
        compare::same_packets(&ours, &theirs).with_context(|| format.to_owned())?;
        compare::same_frames(&ours[..packets.len()], &packets)?;
        compare::same_frames(&ours[packets.len()..], &outgoing)?;
        recorded.lost_nothing(ours.len() as u64)?;
        for file in recorded.files()? {
            assert_eq!(file.interfaces[0].link_type, RAW);
        }
    }
    Ok(())
}
