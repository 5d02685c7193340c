//! The packets of a finding: those between its ends, from its first frame to its last.

use std::net::IpAddr;

use crate::{
    decode::{Decoder, Ethernet, FragmentLimits, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    packet::Packet,
    report::{End, Finding, FrameReference},
};

/// Tells which packets are a finding's.
pub struct Wanted {
    first: FrameReference,
    last: FrameReference,
    ends: Vec<(IpAddr, Option<u16>)>,
    decoder: Decoder,
}

impl Wanted {
    /// Those of this finding.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        let flow = finding.flow.as_ref();
        let parse = |end: &End| Some((end.address.parse().ok()?, end.port));
        let ends = flow
            .into_iter()
            .flat_map(|flow| [&flow.client, &flow.server])
            .flatten()
            .filter_map(parse)
            .collect();
        Self {
            first: finding.evidence.first,
            last: finding.evidence.last,
            ends,
            decoder: Decoder::new(FragmentLimits::default()),
        }
    }

    /// Whether a packet is one of them. The packets of a file are asked about in their order, so that
    /// fragments find together.
    pub fn wants(&mut self, packet: &Packet<'_>) -> bool {
        let at = FrameReference {
            file: packet.file,
            frame: packet.frame,
        };
        let mut seen = Seen {
            ends: &self.ends,
            between: self.ends.is_empty(),
        };
        self.decoder.decode(packet, &mut seen);
        seen.between && (self.first..=self.last).contains(&at)
    }

    /// Whether no packet from this file on is one of them.
    #[must_use]
    pub const fn is_done(&self, file: u32) -> bool {
        file > self.last.file
    }
}

struct Seen<'w> {
    ends: &'w [(IpAddr, Option<u16>)],
    between: bool,
}

impl Seen<'_> {
    /// Every end that is wanted must be one of the packet's two.
    fn see(&mut self, ip: &Ip, ports: Option<(u16, u16)>) {
        let (source, destination) = match ports {
            Some((source, destination)) => (Some(source), Some(destination)),
            None => (None, None),
        };
        self.between |= self.ends.iter().all(|(address, port)| {
            (*address == ip.source && (port.is_none() || *port == source))
                || (*address == ip.destination && (port.is_none() || *port == destination))
        });
    }
}

impl Visitor for Seen<'_> {
    fn protocol(&mut self, _packet: &Packet<'_>, _protocol: Protocol) {}
    fn ethernet(&mut self, _packet: &Packet<'_>, _ethernet: &Ethernet) {}
    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {}

    fn ip(&mut self, _packet: &Packet<'_>, ip: &Ip) {
        self.see(ip, None);
    }

    fn tcp(&mut self, _packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>) {
        self.see(ip, Some((tcp.source, tcp.destination)));
    }

    fn udp(&mut self, _packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>) {
        self.see(ip, Some((udp.source, udp.destination)));
    }

    fn icmp(&mut self, _packet: &Packet<'_>, _ip: &Ip, icmp: &Icmp<'_>) {
        let Some(quote) = icmp.quote() else {
            return;
        };
        self.between |= !self.ends.is_empty()
            && self.ends.iter().all(|(address, port)| {
                let (source, destination) = quote.ports.unzip();
                (*address == quote.source && (port.is_none() || *port == source))
                    || (*address == quote.destination && (port.is_none() || *port == destination))
            });
    }
}
