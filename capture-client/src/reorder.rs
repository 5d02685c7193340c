//! Packets from several nodes, merged by timestamp as they arrive.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use crate::model::Packet;

/// How long a packet waits for earlier packets of other nodes. Nodes send at least about every 100 ms; the
/// rest is for the network.
const WAIT: Duration = Duration::from_millis(500);

/// Maximum packets that wait; beyond this, the earliest is released at once.
const MOST: usize = 65_536;

/// Delays packets by half a second, so that those of several nodes are released in order of
/// timestamps.
#[derive(Debug, Default)]
pub struct ReorderBuffer {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// When packets arrived, and the latest timestamp among them.
    arrivals: VecDeque<(Instant, u64)>,
    /// Everything up to this timestamp has waited long enough.
    ripe: Option<u64>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    timestamp: u64,
    /// Sequence number of arrival, which orders packets with the same timestamp.
    number: u64,
    node: usize,
    packet: Packet,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.timestamp, self.number).cmp(&(other.timestamp, other.number))
    }
}

impl ReorderBuffer {
    /// Adds packets that have arrived from a node.
    pub fn add(&mut self, node: usize, packets: Vec<Packet>, now: Instant) {
        let latest = packets.iter().map(|packet| packet.timestamp).max();
        if let Some(latest) = latest {
            self.arrivals.push_back((now, latest));
        }
        for packet in packets {
            self.waiting.push(Reverse(Waiting {
                timestamp: packet.timestamp,
                number: self.next,
                node,
                packet,
            }));
            self.next += 1;
        }
    }

    /// The earliest packet, if it has waited long enough or too many wait.
    pub fn next(&mut self, now: Instant) -> Option<(usize, Packet)> {
        while let Some((came, latest)) = self.arrivals.front()
            && now.saturating_duration_since(*came) >= WAIT
        {
            self.ripe = self.ripe.max(Some(*latest));
            self.arrivals.pop_front();
        }
        let Reverse(earliest) = self.waiting.peek()?;
        if Some(earliest.timestamp) <= self.ripe || self.waiting.len() > MOST {
            self.rest()
        } else {
            None
        }
    }

    /// The earliest packet, whether it has waited long enough or not.
    pub fn rest(&mut self) -> Option<(usize, Packet)> {
        let Reverse(first) = self.waiting.pop()?;
        Some((first.node, first.packet))
    }

    /// When the next packet may be released.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.arrivals.front().map(|(came, _)| *came + WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capture_types::Direction;

    fn packets(timestamps: &[u64]) -> Vec<Packet> {
        let packet = |timestamp: &u64| Packet {
            timestamp: *timestamp,
            interface: 0,
            direction: Some(Direction::In),
            original_length: 3,
            data: vec![1, 2, 3].into(),
        };
        timestamps.iter().map(packet).collect()
    }

    fn taken(order: &mut ReorderBuffer, now: Instant) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| order.next(now))
            .map(|(node, packet)| (node, packet.timestamp))
            .collect()
    }

    #[test]
    fn packets_of_two_nodes_come_out_by_timestamp() {
        let (mut order, start) = (ReorderBuffer::default(), Instant::now());
        order.add(0, packets(&[10, 30, 50]), start);
        assert_eq!(taken(&mut order, start), [], "node 1 may have earlier ones");
        order.add(1, packets(&[20, 30, 60]), start + WAIT / 2);
        assert_eq!(
            taken(&mut order, start + WAIT),
            [(0, 10), (1, 20), (0, 30), (1, 30), (0, 50)]
        );
        assert_eq!(order.due(), Some(start + WAIT / 2 + WAIT));
        assert_eq!(taken(&mut order, start + 2 * WAIT), [(1, 60)]);
        assert_eq!(order.due(), None);
    }

    #[test]
    fn one_that_comes_far_too_late_is_shown_all_the_same() {
        let (mut order, start) = (ReorderBuffer::default(), Instant::now());
        order.add(0, packets(&[100]), start);
        assert_eq!(taken(&mut order, start + WAIT), [(0, 100)]);
        order.add(1, packets(&[50]), start + WAIT);
        assert_eq!(taken(&mut order, start + WAIT), [(1, 50)]);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for_and_at_the_end_none() {
        let (mut order, start) = (ReorderBuffer::default(), Instant::now());
        let many: Vec<u64> = (0..MOST as u64 + 10).collect();
        order.add(0, packets(&many), start);
        assert_eq!(taken(&mut order, start).len(), 10);
        let rest = std::iter::from_fn(|| order.rest()).count();
        assert_eq!(rest, MOST);
    }
}
