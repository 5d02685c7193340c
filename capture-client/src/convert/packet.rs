use std::net::IpAddr;

use capture_proto::v1;
use capture_types::Direction;

use super::capture::capture;
use crate::model::{Packet, StreamEvent, StreamInterface};

/// `None`: a kind of event that this client does not know.
pub(crate) fn stream_event(response: v1::StreamPacketsResponse) -> Option<StreamEvent> {
    use v1::stream_packets_response::Event;
    Some(match response.event? {
        Event::Interface(interface) => StreamEvent::Interface(StreamInterface {
            id: interface.id,
            name: interface.name,
            link_type: interface.link_type,
            snaplen: interface.snaplen,
            hardware_address: interface.hardware_address.as_slice().try_into().ok(),
            description: interface.description,
            comment: interface.comment,
        }),
        Event::Packets(batch) => {
            StreamEvent::Packets(batch.packets.into_iter().map(packet).collect())
        }
        Event::Missed(missed) => StreamEvent::Missed {
            packets: missed.packets,
            total: missed.total_packets,
        },
        Event::Names(names) => {
            StreamEvent::Names(names.names.into_iter().filter_map(name).collect())
        }
        Event::Ended(ended) => StreamEvent::Ended(Box::new(capture(ended))),
    })
}

/// `None`: what is to be an address is none.
fn name(given: v1::AddressName) -> Option<(IpAddr, String)> {
    Some((given.address.parse().ok()?, given.name))
}

fn packet(packet: v1::Packet) -> Packet {
    Packet {
        timestamp: packet.timestamp_ns,
        interface: packet.interface_id,
        direction: match packet.direction() {
            v1::Direction::In => Some(Direction::In),
            v1::Direction::Out => Some(Direction::Out),
            v1::Direction::Inout | v1::Direction::Unspecified => None,
        },
        original_length: packet.original_length,
        data: packet.data,
    }
}
