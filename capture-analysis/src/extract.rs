//! The packets of a finding: the frames that prove it, or all of its flow from the first to the last of them.

use std::{collections::HashMap, fs::File, io::Write, net::IpAddr, path::PathBuf};

use capture_file::{CaptureReader, Item, WriteError, Writer};

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

/// Writes the wanted packets of these files, which must be in the order of the report. Returns their number. What
/// is damaged is passed over: the report tells of it.
///
/// # Errors
/// The output cannot be written.
pub fn extract<W: Write>(
    files: &[PathBuf],
    mut wanted: Wanted,
    mut writer: Writer<W>,
) -> Result<u64, WriteError> {
    let (mut described, mut written) = (0, 0);
    for (number, file) in (0u32..).zip(files) {
        if wanted.is_done(number) {
            break;
        }
        let opened = File::open(file).ok().map(CaptureReader::new);
        let Some(Ok(mut reader)) = opened else {
            continue;
        };
        let mut interfaces = Vec::new();
        // The numbers in the new file of interfaces with a packet in it.
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        while let Ok(Some(item)) = reader.next_item() {
            let found = match item {
                Item::Interface(interface) => {
                    interfaces.push(interface);
                    continue;
                }
                Item::Packet(found) => found,
                _ => continue,
            };
            let Some(interface) = interfaces.get(found.interface as usize) else {
                continue;
            };
            let packet = Packet {
                timestamp: found.timestamp,
                interface: found.interface,
                link_type: interface.link_type,
                original_length: found.original_length,
                data: found.data,
                file: number,
                frame: found.number,
            };
            if !wanted.wants(&packet) {
                continue;
            }
            let mut packet = found.to_buf();
            packet.interface = match numbers.get(&found.interface) {
                Some(number) => *number,
                None => {
                    writer.interface(interface)?;
                    numbers.insert(found.interface, described);
                    described += 1;
                    described - 1
                }
            };
            writer.packet(&packet)?;
            written += 1;
        }
    }
    writer.finish()?.flush()?;
    Ok(written)
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
