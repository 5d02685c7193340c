//! Two captures of the same traffic, packet by packet.

use capture_analysis::{
    Packet,
    crossing::{Capture, Comparison, Crossing},
};

use crate::support::{
    ACK, Frames, PSH, STEP, SYN,
    wire::{Header, ipv4, tcp, udp},
};

/// The number of packets in both, by the frames of either side; the other's clock is ahead by this
/// much.
fn compared(first: &Frames, other: &Frames, ahead: u64) -> Crossing {
    let mut comparison = Comparison::default();
    for (capture, frames, ahead) in [(Capture::First, first, 0), (Capture::Other, other, ahead)] {
        for (number, (time, data)) in (1..).zip(&frames.frames) {
            let packet = Packet {
                timestamp: time + ahead,
                interface: 0,
                link_type: 1,
                original_length: data.len() as u32,
                data,
                file: 0,
                frame: number,
            };
            comparison.packet(capture, &packet);
        }
    }
    comparison.finish()
}

fn datagram(id: u16, ttl: u8) -> Vec<u8> {
    let header = Header {
        id,
        ttl,
        ..Header::new([10, 0, 0, 1], [10, 0, 0, 2])
    };
    ipv4(header, 17, &udp([5_000, 9], &id.to_be_bytes()))
}

#[test]
fn what_left_one_end_and_did_not_reach_the_other_is_named_frame_by_frame() {
    let sent = Frames::new().frames((1..=50).map(|id| datagram(id, 64)));
    // Routers decrement the hop count; packets 7 and 20 are lost on the path.
    let mut arrived = Frames::new();
    for id in 1..=50 {
        arrived = if id == 7 || id == 20 {
            arrived.wait(STEP)
        } else {
            arrived.frame(datagram(id, 61))
        };
    }
    let crossing = compared(&sent, &arrived, 5_000 * STEP);
    assert_eq!(
        (crossing.both, crossing.only_first, crossing.only_other),
        (48, 2, 0)
    );
    assert_eq!(crossing.later_ns, Some(5_000_000_000));
    let frames: Vec<u64> = crossing.missing.iter().map(|one| one.frame.frame).collect();
    assert_eq!(frames, [7, 20]);
    assert_eq!(crossing.missing[0].only_in, Capture::First);
    let way = &crossing.ways[0];
    assert_eq!(
        (way.transport.as_str(), way.source.port, way.both),
        ("udp", Some(5_000), 48)
    );
    assert_eq!((way.only_first, crossing.equal_ways), (2, 0));
}

#[test]
fn what_only_one_captured_because_it_began_earlier_is_not_called_lost() {
    let all = Frames::new().frames((1..=50).map(|id| datagram(id, 64)));
    let (_, later) = all.clone().split_at(30);
    let crossing = compared(&all, &later, 0);
    assert_eq!(
        (crossing.both, crossing.only_first, crossing.outside),
        (20, 0, 30)
    );
    let crossing = compared(&later, &all, 0);
    assert_eq!(
        (crossing.both, crossing.only_other, crossing.outside),
        (20, 0, 30)
    );
}

/// From the client or from the server, with a given identification.
fn segment(from_client: bool, id: u16, numbers: [u32; 2], flags: u8, data: &[u8]) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (from, to, ports) = if from_client {
        (client, server, [40_000, 80])
    } else {
        (server, client, [80, 40_000])
    };
    let header = Header {
        id,
        ..Header::new(from, to)
    };
    ipv4(header, 6, &tcp(ports, numbers, flags, data))
}

#[test]
fn segmentation_offload_is_no_loss_and_a_lost_piece_of_it_is_one() {
    let begin = || {
        Frames::new()
            .frame(segment(true, 1, [0, 0], SYN, b""))
            .frame(segment(false, 1, [0, 1], SYN | ACK, b""))
    };
    let end = |frames: Frames| {
        frames
            .frame(segment(false, 2, [1, 4_001], ACK, b""))
            .frame(segment(true, 9, [4_001, 1], ACK, b""))
    };
    let large = end(begin()
        .frame(segment(true, 2, [1, 1], PSH | ACK, &[1; 4_000]))
        .wait(3 * STEP));
    let small = |lost: Option<u16>| {
        let mut frames = begin();
        for piece in 0..4 {
            frames = if lost == Some(piece) {
                frames.wait(STEP)
            } else {
                let sequence = 1 + u32::from(piece) * 1_000;
                frames.frame(segment(true, 2 + piece, [sequence, 1], ACK, &[1; 1_000]))
            };
        }
        end(frames)
    };
    let crossing = compared(&large, &small(None), 0);
    assert_eq!(
        (crossing.only_first, crossing.only_other),
        (0, 0),
        "{crossing:?}"
    );
    let crossing = compared(&large, &small(Some(2)), 0);
    assert_eq!(
        (crossing.only_first, crossing.only_other),
        (1, 0),
        "{crossing:?}"
    );
    assert_eq!(crossing.missing[0].data_bytes, Some(4_000));
}

#[test]
fn nothing_on_one_side_is_no_reason_to_fail() {
    let some = Frames::new().frames((1..=5).map(|id| datagram(id, 64)));
    let crossing = compared(&some, &Frames::new(), 0);
    assert_eq!(
        (crossing.both, crossing.only_first, crossing.later_ns),
        (0, 5, None)
    );
    assert_eq!(
        compared(&Frames::new(), &Frames::new(), 0),
        Crossing::default()
    );
}
