//! Conversations below the transport layer: pairs of Ethernet or IP addresses.

use std::{collections::HashMap, hash::Hash};

use ahash::RandomState;

use super::{Side, Span, Way};
use crate::packet::Packet;

/// The traffic between a pair of addresses.
#[derive(Debug, Clone, Copy)]
pub struct Pair<A> {
    /// The address that sent first.
    pub first: A,
    /// The other one.
    pub second: A,
    /// The traffic of each.
    pub sides: [Side; 2],
    /// The time span.
    pub span: Span,
}

/// All pairs of one kind of address, up to a limit; traffic beyond it is counted together.
pub struct Pairs<A> {
    index: HashMap<(A, A), u32, RandomState>,
    pairs: Vec<Pair<A>>,
    latest: u32,
    most: usize,
    beyond: Side,
}

impl<A: Copy + Eq + Hash + Ord> Pairs<A> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            index: HashMap::default(),
            pairs: Vec::new(),
            latest: 0,
            most,
            beyond: Side::default(),
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, source: A, destination: A, packet: &Packet<'_>) {
        // Packets of one conversation usually follow each other.
        if let Some(pair) = self.pairs.get_mut(self.latest as usize)
            && pair.add(source, destination, packet)
        {
            return;
        }
        self.find(source, destination, packet);
    }

    /// Counts a packet of the pair with this number, if it is one; otherwise the pair is looked for. The
    /// number of the pair, if there was room for it.
    #[inline]
    pub(crate) fn add_at(
        &mut self,
        number: Option<u32>,
        source: A,
        destination: A,
        packet: &Packet<'_>,
    ) -> Option<u32> {
        if let Some(number) = number
            && let Some(pair) = self.pairs.get_mut(number as usize)
            && pair.add(source, destination, packet)
        {
            return Some(number);
        }
        self.find(source, destination, packet)
    }

    fn find(&mut self, source: A, destination: A, packet: &Packet<'_>) -> Option<u32> {
        let key = if source <= destination {
            (source, destination)
        } else {
            (destination, source)
        };
        if let Some(number) = self.index.get(&key) {
            self.latest = *number;
            self.pairs[*number as usize].add(source, destination, packet);
            return Some(*number);
        }
        if self.pairs.len() >= self.most {
            self.beyond.add(packet);
            return None;
        }
        let number = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        self.index.insert(key, number);
        self.latest = number;
        let mut sides = [Side::default(); 2];
        sides[0].add(packet);
        self.pairs.push(Pair {
            first: source,
            second: destination,
            sides,
            span: Span::at(packet.timestamp),
        });
        Some(number)
    }

    /// The pairs, in the order in which they appeared.
    #[must_use]
    pub fn all(&self) -> &[Pair<A>] {
        &self.pairs
    }

    /// The limit.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// The traffic of pairs beyond the limit.
    #[must_use]
    pub const fn beyond(&self) -> Side {
        self.beyond
    }
}

impl<A: Copy + Eq> Pair<A> {
    #[inline]
    fn add(&mut self, source: A, destination: A, packet: &Packet<'_>) -> bool {
        let way = if source == self.first && destination == self.second {
            Way::Forward
        } else if source == self.second && destination == self.first {
            Way::Backward
        } else {
            return false;
        };
        self.sides[way.index()].add(packet);
        self.span.add(packet.timestamp);
        true
    }
}
