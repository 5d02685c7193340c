//! The packets of a finding: the frames that prove it, or all of its flow from the first to the last of them.

use std::net::IpAddr;

use crate::{
    decode::{Decoder, Ethernet, FragmentLimits, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    packet::Packet,
    report::{End, Finding, FrameReference},
};

/// Selects the packets of a finding.
pub struct Wanted {
    last: FrameReference,
    how: How,
}

enum How {
    /// Sorted.
    Frames(Vec<FrameReference>),
    Between {
        first: FrameReference,
        ends: Vec<(IpAddr, Option<u16>)>,
        decoder: Box<Decoder>,
    },
}

impl Wanted {
    /// The frames that prove a finding; `None` if they were not kept ([`crate::Hooks::kept_frames`]).
    #[must_use]
    pub fn frames_of(finding: &Finding) -> Option<Self> {
        Some(Self {
            last: finding.evidence.last,
            how: How::Frames(finding.evidence.frames()?),
        })
    }

    /// Everything between a finding's ends, from its first frame to its last.
    #[must_use]
    pub fn between(finding: &Finding) -> Self {
        let flow = finding.flow.as_ref();
        let parse = |end: &End| Some((end.address.parse().ok()?, end.port));
        let ends = flow
            .into_iter()
            .flat_map(|flow| [&flow.client, &flow.server])
            .flatten()
            .filter_map(parse)
            .collect();
        Self {
            last: finding.evidence.last,
            how: How::Between {
                first: finding.evidence.first,
                ends,
                decoder: Box::new(Decoder::new(FragmentLimits::default())),
            },
        }
    }

    /// Whether a packet belongs to it. The packets of a file must be checked in order, so that
    /// fragments are recognised.
    pub fn wants(&mut self, packet: &Packet<'_>) -> bool {
        let at = FrameReference {
            file: packet.file,
            frame: packet.frame,
        };
        match &mut self.how {
            How::Frames(frames) => frames.binary_search(&at).is_ok(),
            How::Between {
                first,
                ends,
                decoder,
            } => {
                let mut seen = Seen {
                    ends,
                    between: ends.is_empty(),
                };
                decoder.decode(packet, &mut seen);
                seen.between && (*first..=self.last).contains(&at)
            }
        }
    }

    /// Whether no packet from this file on belongs to it.
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
    /// Every wanted end must be one of the packet's two.
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
