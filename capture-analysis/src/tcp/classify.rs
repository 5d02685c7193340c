//! Classifies a segment, by the rules in Wireshark's User's Guide, "TCP Analysis".

use crate::decode::Tcp;

use super::{
    Flag, Flags,
    half::{Half, Scale, Sent},
    sequence::ahead,
};

const MILLISECOND: u64 = 1_000_000;
/// A retransmission sooner than this after the last duplicate ACK is a fast one.
const FAST: u64 = 20 * MILLISECOND;
/// A segment that follows its successor within a round trip is out of order; this is used if the round
/// trip is unknown.
const OUT_OF_ORDER: u64 = 3 * MILLISECOND;
const CONTROL: u16 = Tcp::SYN | Tcp::FIN | Tcp::RST;

/// A segment and its time.
pub(super) struct Arrival<'a> {
    pub(super) tcp: &'a Tcp<'a>,
    pub(super) length: u32,
    pub(super) time: u64,
    /// The handshake's round trip.
    pub(super) first_round_trip: Option<u64>,
}

impl Arrival<'_> {
    /// The number after its last byte; SYN and FIN count as one.
    fn end(&self) -> u32 {
        let end = self.tcp.sequence.wrapping_add(self.length);
        if self.tcp.has(Tcp::SYN | Tcp::FIN) {
            end.wrapping_add(1)
        } else {
            end
        }
    }

    fn takes_space(&self) -> bool {
        self.length > 0 || self.tcp.has(Tcp::SYN | Tcp::FIN)
    }
}

/// Classifies `arrival`, sent by `own`, and updates the state.
pub(super) fn classify(arrival: &Arrival<'_>, own: &mut Half, other: &mut Half) -> Flags {
    let tcp = arrival.tcp;
    let mut flags = Flags::NONE;
    window_flags(arrival, own, other, &mut flags);
    if flags.has(Flag::DuplicateAck) {
        own.duplicate_acks += 1;
    }
    // A window update in between does not end a run of duplicates.
    if own.last_ack != Some(tcp.acknowledgement) {
        own.duplicate_acks = 0;
        own.gap_said = false;
    }
    if tcp.has(Tcp::ACK)
        && let Some(highest) = other.contiguous
        && ahead(tcp.acknowledgement, highest) > 0
    {
        if other.next.is_some_and(|next| ahead(next, highest) > 0) {
            // Up to the data after the gap.
            flags.set(Flag::AckLostSegment);
            other.contiguous = other.next;
        } else {
            // Beyond all data in the capture: reported once, until the other side acknowledges
            // more.
            if !other.gap_said {
                flags.set(Flag::AckLostSegment);
            }
            other.gap_said = true;
        }
    }
    if arrival.takes_space() && !flags.has(Flag::KeepAlive) {
        again(arrival, own, other, &mut flags);
    }
    own.was_keep_alive = flags.has(Flag::KeepAlive);
    own.was_probe = flags.has(Flag::ZeroWindowProbe);
    remember(arrival, own, other, flags);
    flags
}

/// All flags that do not depend on whether the bytes were sent before.
fn window_flags(arrival: &Arrival<'_>, own: &Half, other: &Half, flags: &mut Flags) {
    let tcp = arrival.tcp;
    let length = arrival.length;
    let plain = !tcp.has(CONTROL);
    let at_next = own.next == Some(tcp.sequence);
    let same_ack = own.last_ack == Some(tcp.acknowledgement);
    if length == 1 && at_next && other.last_ack.is_some() && other.window == 0 {
        flags.set(Flag::ZeroWindowProbe);
        return;
    }
    if tcp.window == 0 && plain {
        flags.set(Flag::ZeroWindow);
    }
    if let Some(next) = own.next {
        if ahead(tcp.sequence, next) > 0 && !tcp.has(Tcp::RST) {
            flags.set(Flag::LostSegment);
        }
        if length <= 1 && plain && tcp.sequence == next.wrapping_sub(1) {
            flags.set(Flag::KeepAlive);
        }
    }
    let silent = length == 0 && plain && at_next;
    let acknowledges_probe =
        own.last_ack.map(|ack| ack.wrapping_add(1)) == Some(tcp.acknowledgement);
    if silent && tcp.window != 0 && tcp.window != own.window && same_ack {
        flags.set(Flag::WindowUpdate);
    }
    if length > 0
        && plain
        && let (Some(window), Some(ack)) = (other.window_bytes, other.last_ack)
        && tcp.sequence.wrapping_add(length) == ack.wrapping_add(window as u32)
    {
        flags.set(Flag::WindowFull);
    }
    if silent && tcp.window != 0 && tcp.window == own.window && same_ack {
        if other.was_keep_alive {
            flags.set(Flag::KeepAliveAck);
        } else {
            flags.set(Flag::DuplicateAck);
        }
    }
    if silent
        && tcp.window == 0
        && own.window == 0
        && (same_ack || acknowledges_probe)
        && other.was_probe
    {
        flags.set(Flag::ZeroWindowProbeAck);
    }
}

/// Whether the bytes were sent before, and why.
fn again(arrival: &Arrival<'_>, own: &Half, other: &Half, flags: &mut Flags) {
    let (start, length) = (arrival.tcp.sequence, arrival.length);
    let end = start.wrapping_add(length);
    if length > 0 && other.last_ack.is_some_and(|ack| ahead(ack, end) >= 0) {
        flags.set(Flag::SpuriousRetransmission);
        flags.set(Flag::Retransmission);
        return;
    }
    let Some(next) = own.next else {
        return;
    };
    // One byte before the end and longer than one: new data after a probe.
    let behind_probe = length > 1 && start == next.wrapping_sub(1);
    if ahead(next, start) <= 0 || behind_probe {
        return;
    }
    let since_ack = arrival.time.saturating_sub(other.last_ack_time);
    let asked_for = other.duplicate_acks >= 2 && other.last_ack == Some(start);
    if asked_for && since_ack < FAST {
        flags.set(Flag::FastRetransmission);
        flags.set(Flag::Retransmission);
        return;
    }
    let soon = arrival.first_round_trip.unwrap_or(OUT_OF_ORDER);
    let since_next = arrival.time.saturating_sub(own.next_time);
    if since_next < soon && next != arrival.end() {
        flags.set(Flag::OutOfOrder);
        return;
    }
    flags.set(Flag::Retransmission);
}

/// Updates the state of both sides.
fn remember(arrival: &Arrival<'_>, own: &mut Half, other: &mut Half, flags: Flags) {
    let tcp = arrival.tcp;
    let end = arrival.end();
    let probe = flags.has(Flag::ZeroWindowProbe);
    if arrival.takes_space() {
        let sent = Sent {
            end,
            time: arrival.time,
            again: flags.sent_again(),
        };
        own.remember(sent);
    }
    if !probe && own.next.is_none_or(|next| ahead(end, next) > 0) {
        own.next = Some(end);
        own.next_time = arrival.time;
    }
    if !probe && own.contiguous.is_none_or(|until| until == tcp.sequence) {
        own.contiguous = own.next;
    }
    own.window = tcp.window;
    own.window_bytes = match (own.scale, tcp.has(Tcp::SYN)) {
        (Scale::Unknown, false) => None,
        (Scale::By(shift), false) => Some(u64::from(tcp.window) << shift),
        (_, true) | (Scale::None, false) => Some(u64::from(tcp.window)),
    };
    own.last_ack = Some(tcp.acknowledgement);
    own.last_ack_time = arrival.time;
    if tcp.has(Tcp::ACK) {
        acknowledge(arrival, other);
    }
}

/// Acknowledged segments no longer wait; the latest of them gives the round trip.
fn acknowledge(arrival: &Arrival<'_>, other: &mut Half) {
    let ack = arrival.tcp.acknowledgement;
    let mut latest = None;
    while let Some(sent) = other.waiting.front() {
        if ahead(ack, sent.end) < 0 {
            break;
        }
        latest = Some(*sent);
        other.waiting.pop_front();
    }
    if let Some(sent) = latest.filter(|sent| !sent.again && sent.end == ack) {
        let round_trip = arrival.time.saturating_sub(sent.time);
        other.round_trip.add(round_trip);
    }
}
