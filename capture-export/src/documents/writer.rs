//! Takes records of the analysis, and writes a document of each.

use std::{collections::HashMap, net::IpAddr};

use capture_analysis::{
    Origin, Packet, Records,
    flow::{Endpoint, Flow, Transport},
    report::{DnsRow, HttpRow, TlsRow},
};
use capture_file::Interface;

use super::{
    Continued, FileContext, Kind, Kinds,
    identity::{FlowIds, FlowNames, Identity},
    json::Object,
    packet::PacketReader,
    time::Clock,
};

/// Names of addresses that are kept.
const MOST_NAMES: usize = 10_000;
/// Interfaces whose description is kept; packets of further ones have documents without it.
const MOST_INTERFACES: usize = 4_096;

/// Takes documents.
pub trait Output: Send {
    /// A document: `write` appends its JSON, without a line end. `id` needs no escapes.
    fn document(&mut self, id: &[u8], write: impl FnOnce(&mut Vec<u8>));
    /// Whether nobody wants more.
    fn stopped(&self) -> bool;
    /// There are no more documents.
    fn finish(&mut self);
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Traffic {
    pub(super) const fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// Writes the documents of one file.
pub(super) struct Writer<O> {
    file: FileContext,
    kinds: Kinds,
    pub(super) out: O,
    identity: Identity,
    flow_ids: FlowIds,
    pub(super) continued: Continued,
    clock: Clock,
    names: HashMap<IpAddr, String>,
    /// The last members of documents, by interface.
    members: Vec<Vec<u8>>,
    /// Those of documents without a known interface.
    no_interface: Vec<u8>,
    pub(super) packets: PacketReader,
    /// TCP and UDP.
    pub(super) traffic: [Traffic; 2],
    /// Documents by kind.
    pub(super) documents: [u64; Kind::ALL.len()],
}

impl<O: Output> Writer<O> {
    pub(super) fn new(file: FileContext, kinds: Kinds, continued: Continued, out: O) -> Self {
        Self {
            kinds,
            out,
            identity: Identity::of(&file.node, &file.series, &file.digest),
            flow_ids: FlowIds::of(&file.node, &file.series),
            continued,
            clock: Clock::default(),
            names: HashMap::new(),
            members: Vec::new(),
            no_interface: file.members(None),
            packets: PacketReader::default(),
            traffic: [Traffic::default(); 2],
            documents: [0; Kind::ALL.len()],
            file,
        }
    }

    /// A document: its names, and what is particular to it.
    fn document<const N: usize>(
        &mut self,
        kind: Kind,
        numbers: [u64; N],
        text: Option<&str>,
        interface: Option<u32>,
        write: impl FnOnce(&mut Object<'_>, &FileContext, &HashMap<IpAddr, String>),
    ) {
        self.documents[kind as usize] += 1;
        let id = match text {
            Some(text) => self.identity.name_with(kind, numbers, text),
            None => self.identity.name(kind, numbers),
        };
        let members = interface
            .and_then(|interface| self.members.get(interface as usize))
            .unwrap_or(&self.no_interface);
        let (clock, file, names) = (&mut self.clock, &self.file, &self.names);
        self.out.document(id, |out| {
            let mut object = Object::begin(out, clock);
            write(&mut object, file, names);
            object.end_with(members);
        });
    }

    /// A packet's document.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) {
        let heads = self.packets.read(packet);
        if !self.kinds.needs_analysis()
            && let Some(transport) = heads.flow()
        {
            self.traffic[transport as usize].add(1, u64::from(packet.original_length));
        }
        self.document(
            Kind::Packet,
            [packet.frame],
            None,
            Some(packet.interface),
            |object, file, names| super::packet::write(object, packet, &heads, file, names),
        );
    }

    /// A finding's document.
    pub(super) fn finding(&mut self, finding: &capture_analysis::report::Finding) {
        let text = format!("{} {}", finding.kind, finding.title);
        let first = finding.evidence.first.frame;
        self.document(
            Kind::Finding,
            [first],
            Some(&text),
            None,
            |object, file, names| super::finding::write(object, finding, file, names),
        );
    }

    /// The id of the flow of an exchange.
    fn flow_of(&self, origin: &Origin) -> FlowNames {
        let ends = [origin.client, origin.server];
        let community_id = community_id(origin.transport, ends);
        let start = self
            .continued
            .start(&community_id, origin.flow_start, origin.flow_opened);
        FlowNames {
            id: self.flow_ids.id(&community_id, start),
            community_id,
        }
    }
}

fn community_id(transport: Transport, [first, second]: [Endpoint; 2]) -> String {
    let protocol = match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    // It fails only for addresses of two versions, which no packet has.
    community_id::calculate_community_id(
        0,
        first.address,
        second.address,
        Some(first.port),
        Some(second.port),
        protocol,
        false,
    )
    .unwrap_or_default()
}

impl<O: Output> Records for Writer<O> {
    fn interface(&mut self, number: u32, interface: &Interface) {
        // Interfaces are numbered in the order in which they come.
        if number as usize == self.members.len() && self.members.len() < MOST_INTERFACES {
            self.members.push(self.file.members(Some(interface)));
        }
    }

    fn name(&mut self, address: IpAddr, name: &str) {
        if self.names.len() < MOST_NAMES || self.names.contains_key(&address) {
            self.names.insert(address, name.to_owned());
        }
    }

    fn flow(&mut self, flow: &Flow) {
        self.traffic[flow.transport as usize].add(flow.packets(), flow.bytes());
        if !self.kinds.has(Kind::Flow) {
            return;
        }
        let community_id = community_id(flow.transport, flow.ends);
        let start = self
            .continued
            .start(&community_id, flow.span.first, flow.is_opened());
        self.continued.note(
            &community_id,
            start,
            flow.span.last,
            super::flow::is_over(flow),
        );
        let names = FlowNames {
            id: self.flow_ids.id(&community_id, start),
            community_id,
        };
        let interface = flow.interfaces.iter().flatten().next().copied();
        self.document(
            Kind::Flow,
            [flow.id],
            None,
            interface,
            |object, file, hosts| super::flow::write(object, flow, &names, file, hosts),
        );
    }

    fn dns(&mut self, origin: &Origin, row: &DnsRow) {
        if !self.kinds.has(Kind::Dns) {
            return;
        }
        let names = self.flow_of(origin);
        self.document(
            Kind::Dns,
            [row.exchange.frame, row.id.into()],
            Some(&row.name),
            Some(origin.interface),
            |object, file, hosts| super::message::dns(object, origin, row, &names, file, hosts),
        );
    }

    fn tls(&mut self, origin: &Origin, row: &TlsRow) {
        if !self.kinds.has(Kind::Tls) {
            return;
        }
        let names = self.flow_of(origin);
        self.document(
            Kind::Tls,
            [origin.flow],
            None,
            Some(origin.interface),
            |object, file, hosts| super::message::tls(object, origin, row, &names, file, hosts),
        );
    }

    fn http(&mut self, origin: &Origin, number: u64, row: &HttpRow) {
        if !self.kinds.has(Kind::Http) {
            return;
        }
        let names = self.flow_of(origin);
        self.document(
            Kind::Http,
            [origin.flow, number],
            None,
            Some(origin.interface),
            |object, file, hosts| super::message::http(object, origin, row, &names, file, hosts),
        );
    }
}
