//! The flows that are live, within a bound: when it is met, those that were idle for longest are closed
//! early, and that is counted.

use std::collections::HashMap;

use ahash::RandomState;

use super::{Application, Endpoint, FlowKey, Side, Span, Throughput, Transport, Way};
use crate::{packet::Packet, tcp::Connection};

/// The number of a flow, in the order in which flows appeared.
pub type FlowId = u64;

/// Packets from which on it is kept how much a flow carries over time.
const LARGE: u64 = 8;
/// Live flows of which that is kept.
const MOST_LARGE: usize = 16_384;

/// How many flows are kept.
#[derive(Debug, Clone, Copy)]
pub struct FlowLimits {
    /// Live ones.
    pub live: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { live: 120_000 }
    }
}

/// A flow: packets between two ports.
pub struct Flow {
    /// Its number.
    pub id: FlowId,
    /// TCP or UDP.
    pub transport: Transport,
    /// The ends: who spoke first, and the other.
    pub ends: [Endpoint; 2],
    /// What each sent.
    pub sides: [Side; 2],
    /// When.
    pub span: Span,
    /// Its first packet: file and frame.
    pub first_frame: (u32, u64),
    /// Its last packet so far: file and frame.
    pub last_frame: (u32, u64),
    /// The interface of the first packet each way.
    pub interfaces: [Option<u32>; 2],
    /// Whether packets of one way are seen on several interfaces.
    pub several_interfaces: bool,
    /// Who opened it, as far as is known; the side that spoke first otherwise.
    pub client: Way,
    /// What it carries.
    pub application: Application,
    /// What TCP adds.
    pub tcp: Option<Box<Connection>>,
    /// How much it carries over time; of small flows it is not kept.
    pub throughput: Option<Box<Throughput>>,
    /// The pair of its addresses.
    pub(crate) pair: Option<u32>,
    key: FlowKey,
    low_first: bool,
}

impl Flow {
    #[inline]
    fn add(&mut self, packet: &Packet<'_>, source_is_low: bool) -> Way {
        let way = if source_is_low == self.low_first {
            Way::Forward
        } else {
            Way::Backward
        };
        self.sides[way.index()].add(packet);
        self.span.add(packet.timestamp);
        self.last_frame = (packet.file, packet.frame);
        let interface = self.interfaces[way.index()].get_or_insert(packet.interface);
        self.several_interfaces |= *interface != packet.interface;
        way
    }

    /// Whether its beginning was seen: the SYN of a TCP connection. UDP has no beginning.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.tcp
            .as_ref()
            .is_some_and(|connection| connection.has_syn())
    }

    /// Packets both ways.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.sides[0].packets + self.sides[1].packets
    }

    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sides[0].bytes + self.sides[1].bytes
    }
}

/// All live flows.
pub struct FlowTable {
    limits: FlowLimits,
    index: HashMap<FlowKey, u32, RandomState>,
    flows: Vec<Flow>,
    next_id: FlowId,
    closed_early: u64,
    /// Live flows with a throughput.
    large: usize,
}

impl FlowTable {
    pub(crate) fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            index: HashMap::default(),
            flows: Vec::new(),
            next_id: 0,
            closed_early: 0,
            large: 0,
        }
    }

    /// The place of the live flow with this key.
    #[inline]
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// The flow at a place that [`Self::find`] or [`Self::open`] returned.
    #[inline]
    pub(crate) fn at(&mut self, place: u32) -> &mut Flow {
        &mut self.flows[place as usize]
    }

    /// Which way a packet goes in the flow at `place`.
    #[inline]
    pub(crate) fn way(&self, place: u32, source_is_low: bool) -> Way {
        if self.flows[place as usize].low_first == source_is_low {
            Way::Forward
        } else {
            Way::Backward
        }
    }

    /// Counts a packet in.
    #[inline]
    pub(crate) fn add(&mut self, place: u32, packet: &Packet<'_>, source_is_low: bool) -> Way {
        let flow = &mut self.flows[place as usize];
        let way = flow.add(packet, source_is_low);
        if let Some(throughput) = &mut flow.throughput {
            let bytes = u64::from(packet.original_length);
            throughput.add(packet.timestamp, way.index(), bytes);
        } else if flow.packets() == LARGE && self.large < MOST_LARGE {
            self.large += 1;
            let bytes = flow.sides.map(|side| side.bytes);
            flow.throughput = Some(Box::new(Throughput::of(flow.span, bytes)));
        }
        way
    }

    /// A new flow that begins with this packet, which is not yet counted in. Flows closed to make room,
    /// and the one with the same key, go to `closed`.
    pub(crate) fn open(
        &mut self,
        key: FlowKey,
        source_is_low: bool,
        packet: &Packet<'_>,
        mut closed: impl FnMut(Flow),
    ) -> u32 {
        if let Some(place) = self.index.get(&key).copied() {
            let new = self.begin(key, source_is_low, packet);
            let old = std::mem::replace(&mut self.flows[place as usize], new);
            self.large -= usize::from(old.throughput.is_some());
            closed(old);
            return place;
        }
        if self.flows.len() >= self.limits.live {
            self.make_room(&mut closed);
        }
        let new = self.begin(key, source_is_low, packet);
        let place = u32::try_from(self.flows.len()).unwrap_or(u32::MAX);
        self.flows.push(new);
        self.index.insert(key, place);
        place
    }

    fn begin(&mut self, key: FlowKey, source_is_low: bool, packet: &Packet<'_>) -> Flow {
        let (low, high) = key.ends();
        let id = self.next_id;
        self.next_id += 1;
        let (source, destination) = if source_is_low {
            (low, high)
        } else {
            (high, low)
        };
        // A capture that begins in the middle may begin with an answer.
        let answers = source.port < 1024 && destination.port >= 1024;
        Flow {
            id,
            transport: key.transport(),
            ends: [source, destination],
            sides: [Side::default(); 2],
            span: Span::at(packet.timestamp),
            first_frame: (packet.file, packet.frame),
            last_frame: (packet.file, packet.frame),
            interfaces: [None; 2],
            several_interfaces: false,
            client: if answers { Way::Backward } else { Way::Forward },
            application: Application::Unknown,
            tcp: None,
            throughput: None,
            pair: None,
            key,
            low_first: source_is_low,
        }
    }

    /// Closes the eighth that was idle for longest: rare enough to cost nothing per packet.
    fn make_room(&mut self, closed: &mut impl FnMut(Flow)) {
        let mut times: Vec<u64> = self.flows.iter().map(|flow| flow.span.last).collect();
        let eighth = times.len() / 8;
        let (_, limit, _) = times.select_nth_unstable(eighth);
        let limit = *limit;
        let (old, kept): (Vec<Flow>, Vec<Flow>) = std::mem::take(&mut self.flows)
            .into_iter()
            .partition(|flow| flow.span.last <= limit);
        self.closed_early += old.len() as u64;
        let large = old.iter().filter(|flow| flow.throughput.is_some());
        self.large -= large.count();
        self.flows = kept;
        self.index.clear();
        for (place, flow) in self.flows.iter().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            self.index.insert(flow.key, place);
        }
        old.into_iter().for_each(closed);
    }

    /// Flows closed early to keep the bound.
    pub(crate) const fn closed_early(&self) -> u64 {
        self.closed_early
    }

    /// Flows seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.next_id
    }

    /// All that are left, in the order of their places.
    pub(crate) fn drain(&mut self) -> Vec<Flow> {
        self.index.clear();
        std::mem::take(&mut self.flows)
    }
}
