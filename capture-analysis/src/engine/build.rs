//! From what was counted to the report.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use capture_types::time::rfc3339;

use super::{Analysis, Engine, counts::SIZES, rows, tree::Tree};
use crate::{
    decode::Decoder,
    flow::{AddressKey, Pair, Side},
    report::{
        Conversations, FileSummary, Health, InterfaceSummary, Inventory, IpSummary, LinkTypeCount,
        ProtocolNode, Rates, RecorderLoss, Report, SCHEMA, SizeCount, Talker, TcpSummary,
        UdpSummary,
    },
    tcp::Flag,
};

/// Addresses listed as talkers.
const TALKERS: usize = 100;

/// What the reader of the files knows and the packets do not say.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files.
    pub files: Vec<FileSummary>,
    /// The interfaces, numbered as the packets number them; packets are counted here.
    pub interfaces: Vec<InterfaceSummary>,
    /// What the recorder lost, as far as the files say.
    pub recorder: Option<RecorderLoss>,
    /// Packets longer than the snap length of their interface.
    pub longer_than_snaplen: u64,
    /// Names that the files give addresses.
    pub names: BTreeMap<IpAddr, String>,
    /// What to say about the reading.
    pub notes: Vec<String>,
}

impl Analysis {
    /// All packets were seen.
    #[must_use]
    pub fn finish(mut self, sources: Sources) -> Report {
        self.decoder.finish();
        let fragments = self.decoder.fragment_totals();
        let undecoded = self.decoder.undecoded();
        let engine = &mut self.engine;
        for flow in engine.flows.drain() {
            engine.closing.close(flow);
        }
        engine.closing.sort();
        let mut report = Report {
            schema: SCHEMA.to_owned(),
            generator: concat!("capture-analysis ", env!("CARGO_PKG_VERSION")).to_owned(),
            complete: sources.files.iter().all(|file| file.problem.is_none()),
            files: sources.files,
            inventory: Inventory {
                longer_than_snaplen: sources.longer_than_snaplen,
                undecoded,
                ..engine.inventory()
            },
            interfaces: engine.interfaces(sources.interfaces),
            names: sources
                .names
                .into_iter()
                .map(|(address, name)| (address.to_string(), name))
                .collect(),
            recorder: sources.recorder,
            health: Health::default(),
            findings: Vec::new(),
            protocols: protocols(&engine.tree, engine.tree.roots()),
            rates: engine.rates(),
            conversations: engine.conversations(),
            ip: IpSummary {
                fragments: fragments.fragments,
                reassembled: fragments.reassembled,
                incomplete: fragments.incomplete,
                overlapping: fragments.overlapping,
                congestion_marked: 0,
                duplicates: 0,
                looping: 0,
            },
            tcp: TcpSummary {
                flags: Flag::ALL
                    .into_iter()
                    .map(|flag| (flag.name().to_owned(), engine.counts.flags[flag as usize]))
                    .filter(|(_, count)| *count > 0)
                    .collect(),
                ..TcpSummary::default()
            },
            udp: UdpSummary::default(),
            icmp: Vec::new(),
            dns: None,
            tls: None,
            http: None,
            arp: None,
            dhcp: None,
            notes: sources.notes,
        };
        engine.notes(&mut report);
        for analyser in &mut engine.closing.analysers {
            analyser.finish(&mut report);
        }
        report.conclude();
        report
    }
}

impl Engine {
    fn inventory(&self) -> Inventory {
        let counts = &self.counts;
        Inventory {
            packets: counts.packets,
            bytes: counts.bytes,
            captured_bytes: counts.captured,
            cut: counts.cut,
            longer_than_snaplen: 0,
            undecoded: 0,
            out_of_time: counts.out_of_time,
            copies: self.copies.found,
            first: counts.span.map(|span| rfc3339(span.first)),
            last: counts.span.map(|span| rfc3339(span.last)),
            duration_ns: counts.span.map(|span| span.duration()),
            link_types: counts
                .link_types()
                .into_iter()
                .map(|(number, packets)| LinkTypeCount {
                    number,
                    name: link_type_name(number).to_owned(),
                    packets,
                    decoded: Decoder::decodes(number),
                })
                .collect(),
            sizes: SIZES
                .iter()
                .enumerate()
                .map(|(at, from)| SizeCount {
                    from: *from,
                    to: SIZES.get(at + 1).map(|next| next - 1),
                    packets: counts.sizes[at],
                })
                .filter(|size| size.packets > 0)
                .collect(),
        }
    }

    fn interfaces(&self, mut interfaces: Vec<InterfaceSummary>) -> Vec<InterfaceSummary> {
        for (interface, packets) in interfaces.iter_mut().zip(&self.counts.interfaces) {
            interface.packets = *packets;
        }
        interfaces
    }

    fn rates(&self) -> Option<Rates> {
        let series = &self.counts.series;
        let buckets = series.buckets();
        Some(Rates {
            start_ns: series.start()?,
            bucket_ns: series.width(),
            packets: buckets.iter().map(|bucket| bucket.packets).collect(),
            bytes: buckets.iter().map(|bucket| bucket.bytes).collect(),
            retransmissions: buckets.iter().map(|bucket| bucket.again).collect(),
            missing_segments: buckets.iter().map(|bucket| bucket.missing).collect(),
        })
    }

    fn conversations(&mut self) -> Conversations {
        let most = self.closing.most;
        let pairs = self.ip.all();
        let of_version = |v6: bool| {
            pairs
                .iter()
                .filter(move |pair| pair.first.address().is_ipv6() == v6)
        };
        let ip = |v6| {
            largest(of_version(v6), most)
                .map(|pair| rows::pair(pair, |key| key.address().to_string()))
                .collect()
        };
        let ethernet = largest(self.ethernet.all().iter(), most);
        Conversations {
            ethernet: ethernet.map(|pair| rows::pair(pair, rows::mac)).collect(),
            ipv4: ip(false),
            ipv6: ip(true),
            talkers: talkers(self.ip.all()),
            tcp: std::mem::take(&mut self.closing.tcp),
            udp: std::mem::take(&mut self.closing.udp),
            flows: self.flows.seen(),
            not_listed: self.closing.not_listed,
            closed_early: self.flows.closed_early(),
        }
    }

    fn notes(&self, report: &mut Report) {
        let early = self.flows.closed_early();
        if early > 0 {
            report.notes.push(format!(
                "{early} flows were closed early, those idle for longest, because more were live \
                 than are kept; one that went on afterwards is counted as two"
            ));
        }
        let Side { packets, bytes } = self.ip.beyond();
        if packets > 0 {
            report.notes.push(format!(
                "{packets} packets ({bytes} bytes) between pairs of IP addresses beyond the first \
                 {} are in no IP conversation",
                self.ip.most()
            ));
        }
        for count in &report.inventory.link_types {
            if !count.decoded {
                report.notes.push(format!(
                    "{} packets of link type {} ({}) are counted and not decoded",
                    count.packets, count.number, count.name
                ));
            }
        }
    }
}

/// The largest pairs, the largest first.
fn largest<'p, A: 'p>(
    pairs: impl Iterator<Item = &'p Pair<A>>,
    most: usize,
) -> impl Iterator<Item = &'p Pair<A>> {
    let mut pairs: Vec<&Pair<A>> = pairs.collect();
    pairs.sort_by_key(|pair| Reverse(pair.sides[0].bytes + pair.sides[1].bytes));
    pairs.truncate(most);
    pairs.into_iter()
}

fn talkers(pairs: &[Pair<AddressKey>]) -> Vec<Talker> {
    let mut hosts: HashMap<IpAddr, [Side; 2]> = HashMap::new();
    for pair in pairs {
        let [first, second] = pair.sides;
        for (address, sent, received) in [(pair.first, first, second), (pair.second, second, first)]
        {
            let [all_sent, all_received] = hosts.entry(address.address()).or_default();
            all_sent.packets += sent.packets;
            all_sent.bytes += sent.bytes;
            all_received.packets += received.packets;
            all_received.bytes += received.bytes;
        }
    }
    let mut hosts: Vec<(IpAddr, [Side; 2])> = hosts.into_iter().collect();
    hosts.sort_by_key(|(address, [sent, received])| {
        (Reverse(sent.bytes + received.bytes), *address)
    });
    hosts.truncate(TALKERS);
    let talker = |(address, [sent, received]): (IpAddr, [Side; 2])| Talker {
        address: address.to_string(),
        sent_packets: sent.packets,
        sent_bytes: sent.bytes,
        received_packets: received.packets,
        received_bytes: received.bytes,
    };
    hosts.into_iter().map(talker).collect()
}

fn protocols(tree: &Tree, places: &[u16]) -> Vec<ProtocolNode> {
    let mut nodes: Vec<ProtocolNode> = places
        .iter()
        .map(|place| {
            let node = tree.node(*place);
            ProtocolNode {
                name: node.protocol.name().to_owned(),
                packets: node.packets,
                bytes: node.bytes,
                inside: protocols(tree, &node.children),
            }
        })
        .collect();
    nodes.sort_by_key(|node| Reverse(node.packets));
    nodes
}

/// <https://www.tcpdump.org/linktypes.html>, those that are met.
fn link_type_name(number: u16) -> &'static str {
    match number {
        0 => "BSD loopback",
        1 => "Ethernet",
        6 => "Token Ring",
        7 => "ARCNET",
        9 => "PPP",
        12 | 14 | 101 => "raw IP",
        50 => "PPP in HDLC framing",
        100 => "ATM RFC 1483",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "Frame Relay",
        108 => "OpenBSD loopback",
        113 => "Linux cooked",
        127 => "IEEE 802.11 with radiotap",
        189 | 220 => "USB",
        195 | 230 => "IEEE 802.15.4",
        201 => "Bluetooth HCI",
        227 => "SocketCAN",
        228 => "raw IPv4",
        229 => "raw IPv6",
        231 => "D-Bus",
        239 => "NFLOG",
        251 => "Bluetooth LE",
        271 => "vsock",
        276 => "Linux cooked 2",
        _ => "unknown",
    }
}
