//! One pass: each packet goes through the decoder into flows and analysers.

mod build;
mod closing;
mod copies;
mod counts;
mod quantiles;
mod rows;
mod series;
mod tree;

use crate::{
    analysers::{self, Datagram, Segment},
    decode::{Decoder, Ethernet, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    flow::{AddressKey, Application, Endpoint, FlowKey, FlowTable, Pairs, Transport},
    packet::Packet,
    records::{Records, Tap},
    settings::Settings,
    tcp::{Flag, Flags},
};
pub use build::Sources;
use closing::Closing;
pub(crate) use copies::Copies;
use counts::Counts;
pub(crate) use quantiles::Quantiles;
pub(crate) use rows::mac;
pub(crate) use series::Series;
use tree::Tree;

/// Takes frames that are conspicuous.
pub type FrameSink = Box<dyn FnMut(&Packet<'_>, Flags) + Send>;

/// The analysis of one capture, whatever the number of its files.
pub struct Analysis {
    decoder: Decoder,
    engine: Engine,
}

struct Engine {
    counts: Counts,
    tree: Tree,
    ethernet: Pairs<[u8; 6]>,
    ip: Pairs<AddressKey>,
    /// The addresses of the IP packet at hand, which is not yet counted: its flow may know the pair.
    uncounted: Option<(AddressKey, AddressKey)>,
    flows: FlowTable,
    copies: Copies,
    closing: Closing,
    /// What the packet at hand is.
    flags: Flags,
    sink: Option<FrameSink>,
}

impl Analysis {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            decoder: Decoder::new(settings.fragments),
            engine: Engine {
                counts: Counts::default(),
                tree: Tree::default(),
                ethernet: Pairs::new(settings.pairs),
                ip: Pairs::new(settings.pairs),
                uncounted: None,
                flows: FlowTable::new(settings.flows),
                copies: Copies::new(),
                closing: Closing::new(analysers::all(settings), settings.conversations),
                flags: Flags::NONE,
                sink: None,
            },
        }
    }

    /// Hands on each frame that is conspicuous, in the order of the file.
    #[must_use]
    pub fn with_frames(mut self, sink: FrameSink) -> Self {
        self.engine.sink = Some(sink);
        self
    }

    /// Hands on every flow and message as it ends, whatever the report keeps.
    #[must_use]
    pub fn with_records(mut self, tap: &Tap) -> Self {
        self.engine.closing.hand_to(tap);
        self
    }

    /// Tells whoever takes records something about what follows.
    pub(crate) fn describe(&self, what: impl FnOnce(&mut dyn Records)) {
        if let Some(tap) = self.engine.closing.tap() {
            tap.give(what);
        }
    }

    /// Packets come from several interfaces, which may show the same packet more than once. Without this
    /// call that is noticed with the first packet of a second interface.
    pub fn expect_copies(&mut self) {
        self.engine.copies.expect();
    }

    /// Takes a packet in.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>) {
        self.engine.begin(packet);
        self.decoder.decode(packet, &mut self.engine);
        self.engine.end(packet);
    }
}

impl Engine {
    #[inline]
    fn begin(&mut self, packet: &Packet<'_>) {
        self.counts.add(packet);
        self.tree.begin();
        self.flags = Flags::NONE;
    }

    #[inline]
    fn end(&mut self, packet: &Packet<'_>) {
        self.count_pair(packet, None);
        if !self.flags.is_empty()
            && let Some(sink) = &mut self.sink
        {
            sink(packet, self.flags);
        }
    }
}

#[inline]
fn ends(ip: &Ip, source: u16, destination: u16) -> (Endpoint, Endpoint) {
    let end = |address, port| Endpoint { address, port };
    (end(ip.source, source), end(ip.destination, destination))
}

impl Visitor for Engine {
    #[inline]
    fn protocol(&mut self, packet: &Packet<'_>, protocol: Protocol) {
        self.tree.enter(protocol, packet.original_length);
    }

    #[inline]
    fn ethernet(&mut self, packet: &Packet<'_>, ethernet: &Ethernet) {
        self.ethernet
            .add(ethernet.source, ethernet.destination, packet);
    }

    fn arp(&mut self, packet: &Packet<'_>, message: &[u8]) {
        for analyser in &mut self.closing.analysers {
            analyser.arp(packet, message);
        }
    }

    #[inline]
    fn ip(&mut self, packet: &Packet<'_>, ip: &Ip) {
        let (source, destination) = (AddressKey::of(ip.source), AddressKey::of(ip.destination));
        self.count_pair(packet, None);
        self.uncounted = Some((source, destination));
        for analyser in &mut self.closing.analysers {
            analyser.ip(packet, ip);
        }
    }

    #[inline]
    fn tcp(&mut self, packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>) {
        let (source, destination) = ends(ip, tcp.source, tcp.destination);
        let (key, low) = FlowKey::new(Transport::Tcp, source, destination);
        let found = self.flows.find(&key);
        let content = (
            (source, destination, ip.identification),
            (tcp.sequence, tcp.acknowledgement, tcp.flags, tcp.length),
            tcp.options,
        );
        let copy = self
            .copies
            .is_copy(content, packet.interface, packet.timestamp);
        let mut reused = false;
        let place = match found {
            Some(place) => {
                let way = self.flows.way(place, low);
                let flow = self.flows.at(place);
                reused = !copy
                    && tcp.has(Tcp::SYN)
                    && flow
                        .tcp
                        .as_ref()
                        .is_some_and(|connection| connection.is_reopened_by(tcp, way));
                if reused {
                    self.open(key, low, packet)
                } else {
                    place
                }
            }
            None => self.open(key, low, packet),
        };
        self.count_pair(packet, Some(place));
        let way = self.flows.add(place, packet, low);
        if copy {
            return;
        }
        let flow = self.flows.at(place);
        let frame = (packet.file, packet.frame);
        if flow.application == Application::Unknown {
            flow.application = Application::of(tcp.payload);
        }
        let connection = flow.tcp.get_or_insert_default();
        let mut flags = connection.segment(tcp, way, packet.timestamp, frame, &mut flow.client);
        if reused {
            flags.set(Flag::ReusedPorts);
        }
        self.counts.segment(packet, flags);
        self.flags.add(flags);
        let segment = Segment {
            packet,
            ip,
            tcp,
            flow,
            way,
            flags,
        };
        for analyser in &mut self.closing.analysers {
            analyser.tcp(&segment);
        }
    }

    #[inline]
    fn udp(&mut self, packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>) {
        let (source, destination) = ends(ip, udp.source, udp.destination);
        let (key, low) = FlowKey::new(Transport::Udp, source, destination);
        let place = match self.flows.find(&key) {
            Some(place) => place,
            None => self.open(key, low, packet),
        };
        self.count_pair(packet, Some(place));
        let way = self.flows.add(place, packet, low);
        let start = &udp.payload[..udp.payload.len().min(64)];
        let content = (source, destination, ip.identification, udp.length, start);
        if self
            .copies
            .is_copy(content, packet.interface, packet.timestamp)
        {
            return;
        }
        let datagram = Datagram {
            packet,
            ip,
            udp,
            flow: self.flows.at(place),
            way,
        };
        for analyser in &mut self.closing.analysers {
            analyser.udp(&datagram);
        }
    }

    fn icmp(&mut self, packet: &Packet<'_>, ip: &Ip, icmp: &Icmp<'_>) {
        for analyser in &mut self.closing.analysers {
            analyser.icmp(packet, ip, icmp);
        }
    }
}

impl Engine {
    /// Counts the IP packet at hand, in the pair that its flow knows.
    #[inline]
    fn count_pair(&mut self, packet: &Packet<'_>, place: Option<u32>) {
        let Some((source, destination)) = self.uncounted.take() else {
            return;
        };
        match place.map(|place| self.flows.at(place)) {
            Some(flow) => flow.pair = self.ip.add_at(flow.pair, source, destination, packet),
            None => self.ip.add(source, destination, packet),
        }
    }

    fn open(&mut self, key: FlowKey, low: bool, packet: &Packet<'_>) -> u32 {
        let closing = &mut self.closing;
        self.flows
            .open(key, low, packet, |flow| closing.close(flow))
    }
}
