//! Conversations below the transport layer: pairs of Ethernet or IP addresses.

use std::{collections::HashMap, hash::Hash};

use ahash::RandomState;

use super::{Side, Span, Way};
use crate::packet::Packet;

/// What a pair of addresses said to each other.
#[derive(Debug, Clone, Copy)]
pub struct Pair<A> {
    /// Who spoke first.
    pub first: A,
    /// The other one.
    pub second: A,
    /// What each sent.
    pub sides: [Side; 2],
    /// When.
    pub span: Span,
}

/// All pairs of one kind of address, up to a bound; what goes beyond it is counted together.
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
        // Packets of one conversation come one after the other more often than not.
        if let Some(pair) = self.pairs.get_mut(self.latest as usize)
            && pair.add(source, destination, packet)
        {
            return;
        }
        self.find(source, destination, packet);
    }

    fn find(&mut self, source: A, destination: A, packet: &Packet<'_>) {
        let key = if source <= destination {
            (source, destination)
        } else {
            (destination, source)
        };
        if let Some(number) = self.index.get(&key) {
            self.latest = *number;
            self.pairs[*number as usize].add(source, destination, packet);
            return;
        }
        if self.pairs.len() >= self.most {
            self.beyond.add(packet);
            return;
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
    }

    /// The pairs, in the order in which they appeared.
    #[must_use]
    pub fn all(&self) -> &[Pair<A>] {
        &self.pairs
    }

    /// What pairs beyond the bound sent.
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
