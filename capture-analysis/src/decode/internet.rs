//! IPv4 and IPv6 with their extension headers, and fragments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Ip, Protocol, View, Visitor, Walk,
    bytes::{half, word},
    fragments::{Fragment, FragmentKey},
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;
/// More extension headers than this are an attack.
const MOST_EXTENSIONS: usize = 16;

impl<V: Visitor> Walk<'_, '_, V> {
    /// IPv4 or IPv6, according to the first four bits.
    pub(super) fn ip(&mut self, view: View<'_>) {
        match view.data.first().map(|byte| byte >> 4) {
            Some(4) => self.ipv4(view),
            Some(6) => self.ipv6(view),
            _ => _ = self.enter(Protocol::Other),
        }
    }

    #[inline]
    pub(super) fn ipv4(&mut self, view: View<'_>) {
        let Some(header) = view.data.first_chunk::<20>() else {
            return;
        };
        let header_length = usize::from(header[0] & 15) * 4;
        if header[0] >> 4 != 4 || header_length < 20 {
            return;
        }
        let total = match u16::from_be_bytes([header[2], header[3]]) {
            // Segmentation offload of more than 64 KiB leaves it 0.
            0 => view.reported,
            total => usize::from(total),
        };
        if total < header_length || !self.enter(Protocol::Ipv4) {
            return;
        }
        let view = view.limit(total);
        let Some(payload) = view.skip(header_length) else {
            return;
        };
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        let (more, offset) = (fragment & 0x2000 != 0, usize::from(fragment & 0x1fff) * 8);
        let address = |at: usize| {
            IpAddr::V4(Ipv4Addr::new(
                header[at],
                header[at + 1],
                header[at + 2],
                header[at + 3],
            ))
        };
        let ip = Ip {
            source: address(12),
            destination: address(16),
            protocol: header[9],
            ttl: header[8],
            length: u32::try_from(view.reported).unwrap_or(u32::MAX),
            identification: u32::from(u16::from_be_bytes([header[4], header[5]])),
            dont_fragment: fragment & 0x4000 != 0,
            fragment: more || offset > 0,
            congestion: header[1] & 3 == 3,
            depth: self.network_depth,
        };
        self.visitor.ip(self.packet, &ip);
        self.network_depth += 1;
        if ip.fragment {
            let key = FragmentKey::new(&ip);
            self.fragment(&ip, Fragment { key, offset, more }, payload);
        } else {
            self.transport(&ip, payload, false);
        }
    }

    pub(super) fn ipv6(&mut self, view: View<'_>) {
        let Some(header) = view.data.first_chunk::<40>() else {
            return;
        };
        if header[0] >> 4 != 6 || !self.enter(Protocol::Ipv6) {
            return;
        }
        let Some(mut payload) = view.skip(40) else {
            return;
        };
        // 0 if a jumbogram or segmentation offload needs more.
        match u16::from_be_bytes([header[4], header[5]]) {
            0 => {}
            length => payload = payload.limit(usize::from(length)),
        }
        let address = |at: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&header[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(bytes))
        };
        let mut ip = Ip {
            source: address(8),
            destination: address(24),
            protocol: header[6],
            ttl: header[7],
            length: u32::try_from(payload.reported + 40).unwrap_or(u32::MAX),
            identification: 0,
            dont_fragment: true,
            fragment: false,
            congestion: header[1] >> 4 & 3 == 3,
            depth: self.network_depth,
        };
        self.network_depth += 1;
        let mut fragment = None;
        let mut final_destination = None;
        for _ in 0..MOST_EXTENSIONS {
            let Some((next, rest, found)) = extension(ip.protocol, payload) else {
                break;
            };
            if ip.protocol == ROUTING {
                final_destination = routed_to(payload);
            }
            (ip.protocol, payload) = (next, rest);
            if let Some((identification, offset, more)) = found {
                ip.identification = identification;
                ip.dont_fragment = false;
                // An atomic fragment (RFC 6946) is whole.
                if more || offset > 0 {
                    ip.fragment = true;
                    fragment = Some((offset, more));
                    break;
                }
            }
        }
        self.visitor.ip(self.packet, &ip);
        if let Some(destination) = final_destination {
            ip.destination = destination;
        }
        match fragment {
            Some((offset, more)) => {
                let key = FragmentKey::new(&ip);
                self.fragment(&ip, Fragment { key, offset, more }, payload);
            }
            None => self.transport(&ip, payload, false),
        }
    }

    fn fragment(&mut self, ip: &Ip, fragment: Fragment, payload: View<'_>) {
        if !self.enter(Protocol::Fragment) {
            return;
        }
        if payload.data.len() < payload.reported {
            // A truncated fragment cannot be reassembled; the first one still has the ports.
            self.fragments.cut();
            if fragment.offset == 0 {
                self.transport(ip, payload, true);
            }
            return;
        }
        let time = self.packet.timestamp;
        if let Some(whole) = self.fragments.add(&fragment, payload.data, time) {
            let view = View {
                data: &whole,
                reported: whole.len(),
            };
            self.after_fragments(ip, view);
        }
    }

    fn after_fragments(&mut self, ip: &Ip, mut payload: View<'_>) {
        let mut ip = *ip;
        if matches!(ip.source, IpAddr::V6(_)) {
            for _ in 0..MOST_EXTENSIONS {
                let Some((next, rest, _)) = extension(ip.protocol, payload) else {
                    break;
                };
                (ip.protocol, payload) = (next, rest);
            }
        }
        self.transport(&ip, payload, false);
    }
}

/// The final destination of a packet whose routing header is not used up: ports and checksums refer
/// to that address.
fn routed_to(header: View<'_>) -> Option<IpAddr> {
    let [_, length, kind, left, ..] = *header.data else {
        return None;
    };
    let addresses = usize::from(length) / 2;
    let at = match (kind, left) {
        (_, 0) => return None,
        // The last of the list.
        (0 | 2, _) => 8 + addresses.checked_sub(1)? * 16,
        // Segment routing (RFC 8754): the list is in reverse.
        (4, _) => 8,
        _ => return None,
    };
    let address: [u8; 16] = header.data.get(at..at + 16)?.try_into().ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(address)))
}

type Extension<'b> = (u8, View<'b>, Option<(u32, usize, bool)>);

/// The protocol after an extension header, and the data there; for a fragment header also its
/// identification, its offset and whether more follow.
fn extension(protocol: u8, view: View<'_>) -> Option<Extension<'_>> {
    let next = *view.data.first()?;
    let length = match protocol {
        HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
            usize::from(*view.data.get(1)?) * 8 + 8
        }
        FRAGMENT => {
            let field = half(view.data, 2)?;
            let identification = word(view.data, 4)?;
            let found = (identification, usize::from(field & 0xfff8), field & 1 == 1);
            return Some((next, view.skip(8)?, Some(found)));
        }
        AUTHENTICATION => usize::from(*view.data.get(1)?) * 4 + 8,
        _ => return None,
    };
    Some((next, view.skip(length)?, None))
}
