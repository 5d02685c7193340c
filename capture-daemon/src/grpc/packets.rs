//! StreamPackets: packets from a tap of the drain thread to a reader.

use std::{collections::BTreeMap, sync::Arc};

use capture_proto::v1::{self, stream_packets_response::Event};
use tonic::{Response, Status};

use super::{
    Context, bounds, convert,
    status::{Violations, invalid},
    stream::{Answers, Gone, STREAM_MEMORY, Sink, answer},
};
use crate::manager::{Capture, PacketReader};
use capture_filter::{FilterError, PacketMatcher};
use capture_pipeline::{packet::InterfaceId, tap::TappedPacket};
use capture_session::filters;
use capture_types::{Direction, FilterSpec, LinkType, values::WHOLE_PACKETS};

const BUFFER: u32 = 4 << 20;
const LEAST_BUFFER: u32 = 64 << 10;
const MOST_BUFFER: u32 = 64 << 20;

/// Maximum packets of a message; their bytes are bounded by the batch.
const MOST_IN_MESSAGE: usize = 1000;

/// Checks a request and starts its stream.
pub(super) async fn stream(
    context: &Context,
    capture: Arc<Capture>,
    request: v1::StreamPacketsRequest,
    who: &Arc<str>,
) -> Result<Response<Answers<v1::StreamPacketsResponse>>, Status> {
    let mut wrong = Violations::default();
    let snaplen = request.snaplen.unwrap_or(WHOLE_PACKETS);
    if snaplen == 0 || snaplen > WHOLE_PACKETS {
        wrong.add(
            "snaplen",
            format!("give 1 to {WHOLE_PACKETS}, or leave it out"),
        );
    }
    let buffer = request.buffer_size.unwrap_or(BUFFER);
    if !(LEAST_BUFFER..=MOST_BUFFER).contains(&buffer) {
        wrong.add(
            "buffer_size",
            format!("give {LEAST_BUFFER} to {MOST_BUFFER}"),
        );
    }
    wrong.at_most("filter", &request.filter, bounds::PACKET_FILTER);
    wrong.check()?;
    let filter = request.filter.trim().to_owned();
    let filters = if filter.is_empty() {
        None
    } else {
        let compiled = context
            .compilers
            .run(who, move || Filters::compile(&filter));
        Some(compiled.await?.map_err(|error| invalid("filter", error))?)
    };
    // A filter needs all captured bytes of a packet.
    let copied = if filters.is_none() {
        snaplen
    } else {
        WHOLE_PACKETS
    };
    let memory = context
        .memory
        .reserve(who, u64::from(buffer) + STREAM_MEMORY)?;
    let manager = &context.manager;
    let reader = manager.read_packets(&capture, buffer, copied)?;
    let stream = Stream {
        capture,
        filters,
        snaplen,
        reader,
        announced: BTreeMap::new(),
        missed: 0,
        named: 0,
    };
    Ok(answer(manager, memory, |sink| stream.run(sink)))
}

/// A reader's filter for each link type.
struct Filters {
    ethernet: PacketMatcher,
    raw: PacketMatcher,
}

impl Filters {
    /// Compiles the expression; blocks meanwhile.
    fn compile(filter: &str) -> Result<Self, FilterError> {
        let compiled = filters::compiler().compile(&FilterSpec::expression(filter))?;
        Ok(Self {
            ethernet: compiled.matcher(LinkType::Ethernet)?,
            raw: compiled.matcher(LinkType::Raw)?,
        })
    }

    fn matches(&self, link_type: LinkType, packet: &TappedPacket) -> bool {
        let matcher = match link_type {
            LinkType::Ethernet => &self.ethernet,
            LinkType::Raw => &self.raw,
        };
        matcher.matches(packet.direction, &packet.bytes, packet.original_length)
    }
}

struct Stream {
    capture: Arc<Capture>,
    filters: Option<Filters>,
    snaplen: u32,
    reader: PacketReader,
    /// Interfaces that were sent to the reader, with their link types.
    announced: BTreeMap<InterfaceId, LinkType>,
    missed: u64,
    /// The last change of address names that was sent to the reader.
    named: u64,
}

impl Stream {
    async fn run(mut self, sink: Sink<v1::StreamPacketsResponse>) -> Result<(), Gone> {
        let event = |event| Ok(v1::StreamPacketsResponse { event: Some(event) });
        while let Some(batch) = self.reader.next().await {
            for names in self.new_names() {
                sink.send(event(Event::Names(names))).await?;
            }
            let mut packets = Vec::new();
            for packet in batch.packets {
                if let Some(interface) = self.introduce(packet.interface) {
                    sink.send(event(Event::Interface(interface))).await?;
                }
                if self.matches(&packet) {
                    packets.push(self.convert(packet));
                }
                if packets.len() == MOST_IN_MESSAGE {
                    let packets = std::mem::take(&mut packets);
                    sink.send(event(Event::Packets(v1::PacketBatch { packets })))
                        .await?;
                }
            }
            if !packets.is_empty() {
                sink.send(event(Event::Packets(v1::PacketBatch { packets })))
                    .await?;
            }
            if let Some(missed) = self.newly_missed() {
                sink.send(event(Event::Missed(missed))).await?;
            }
        }
        if let Some(missed) = self.newly_missed() {
            sink.send(event(Event::Missed(missed))).await?;
        }
        self.capture.ended().await;
        let capture = convert::capture(self.capture.snapshot());
        Ok(sink.send(event(Event::Ended(capture))).await?)
    }

    /// Names of addresses that were not sent yet, in messages of a bounded size.
    fn new_names(&mut self) -> Vec<v1::AddressNames> {
        let (new, changes) = self.reader.names_since(self.named);
        self.named = changes;
        let name = |(address, name): &(std::net::IpAddr, String)| v1::AddressName {
            address: address.to_string(),
            name: name.clone(),
        };
        new.chunks(MOST_IN_MESSAGE)
            .map(|names| v1::AddressNames {
                names: names.iter().map(name).collect(),
            })
            .collect()
    }

    fn newly_missed(&mut self) -> Option<v1::PacketsMissed> {
        let total_packets = self.reader.missed();
        let packets = total_packets - self.missed;
        self.missed = total_packets;
        (packets > 0).then_some(v1::PacketsMissed {
            packets,
            total_packets,
        })
    }

    /// The description to send before the first packet of an interface.
    fn introduce(&mut self, id: InterfaceId) -> Option<v1::PacketInterface> {
        if self.announced.contains_key(&id) {
            return None;
        }
        let interface = self.reader.interface(id)?;
        self.announced.insert(id, interface.link_type);
        Some(v1::PacketInterface {
            id: id.0,
            name: interface.name,
            ifindex: interface.ifindex,
            link_type: interface.link_type.number().into(),
            snaplen: self.snaplen,
            hardware_address: interface.mac.map(Vec::from).unwrap_or_default(),
            description: interface.description,
            comment: interface.comment,
        })
    }

    fn matches(&self, packet: &TappedPacket) -> bool {
        let Some(link_type) = self.announced.get(&packet.interface) else {
            return false;
        };
        match &self.filters {
            Some(filters) => filters.matches(*link_type, packet),
            None => true,
        }
    }

    fn convert(&self, mut packet: TappedPacket) -> v1::Packet {
        packet.bytes.truncate(self.snaplen as usize);
        v1::Packet {
            timestamp_ns: packet.timestamp,
            interface_id: packet.interface.0,
            direction: match packet.direction {
                Direction::In => v1::Direction::In,
                Direction::Out => v1::Direction::Out,
            }
            .into(),
            original_length: packet.original_length,
            data: packet.bytes,
        }
    }
}
