//! TCP, UDP and other protocols after an IP header.

use super::{
    Icmp, Ip, Protocol, Tcp, Udp, View, Visitor, Walk,
    bytes::{half, word},
};

impl<V: Visitor> Walk<'_, '_, V> {
    /// `fragmented` if only the first fragment exists.
    #[inline]
    pub(super) fn transport(&mut self, ip: &Ip, view: View<'_>, fragmented: bool) {
        match ip.protocol {
            6 => self.tcp(ip, view, fragmented),
            17 => self.udp(ip, view, fragmented),
            1 | 58 => self.icmp(ip, view),
            4 => self.ipv4(view),
            41 => self.ipv6(view),
            47 => self.gre(view),
            51 => self.authenticated(ip, view, fragmented),
            2 => _ = self.enter(Protocol::Igmp),
            50 => _ = self.enter(Protocol::Esp),
            89 => _ = self.enter(Protocol::Ospf),
            103 => _ = self.enter(Protocol::Pim),
            112 => _ = self.enter(Protocol::Vrrp),
            132 => _ = self.enter(Protocol::Sctp),
            136 => self.udp(ip, view, true),
            137 => self.mpls_in_ip(view),
            _ => _ = self.enter(Protocol::Other),
        }
    }

    fn mpls_in_ip(&mut self, view: View<'_>) {
        self.ether_type(0x8847, view);
    }

    fn authenticated(&mut self, ip: &Ip, view: View<'_>, fragmented: bool) {
        let (Some(next), Some(words)) = (view.data.first(), view.data.get(1)) else {
            return;
        };
        let Some(rest) = view.skip(usize::from(*words) * 4 + 8) else {
            return;
        };
        if self.enter(Protocol::Ah) {
            let ip = Ip {
                protocol: *next,
                ..*ip
            };
            self.transport(&ip, rest, fragmented);
        }
    }

    #[inline]
    fn tcp(&mut self, ip: &Ip, view: View<'_>, fragmented: bool) {
        let Some(header) = view.data.first_chunk::<20>() else {
            return;
        };
        let header_length = usize::from(header[12] >> 4) * 4;
        if header_length < 20 || !self.enter(Protocol::Tcp) {
            return;
        }
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let payload = view.skip(header_length);
        let captured = view.data.len().min(header_length);
        let tcp = Tcp {
            source: half(0),
            destination: half(2),
            sequence: word(4),
            acknowledgement: word(8),
            flags: half(12) & 0x0fff,
            window: half(14),
            options: &view.data[20..captured],
            payload: payload.map_or(&[], |payload| payload.data),
            length: payload
                .filter(|_| !fragmented)
                .map(|payload| u32::try_from(payload.reported).unwrap_or(u32::MAX)),
        };
        self.visitor.tcp(self.packet, ip, &tcp);
    }

    #[inline]
    fn udp(&mut self, ip: &Ip, view: View<'_>, fragmented: bool) {
        let Some(header) = view.data.first_chunk::<8>() else {
            return;
        };
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let length = usize::from(half(4));
        // 0 if a jumbogram or segmentation offload needs more (RFC 2675).
        let length = match length {
            0 => view.reported,
            1..8 if ip.protocol == 17 => return,
            _ if fragmented => view.reported,
            length => length,
        };
        let Some(payload) = view.limit(length).skip(8) else {
            return;
        };
        if !self.enter(Protocol::Udp) {
            return;
        }
        let udp = Udp {
            source: half(0),
            destination: half(2),
            payload: payload.data,
            length: u32::try_from(payload.reported).unwrap_or(u32::MAX),
        };
        self.visitor.udp(self.packet, ip, &udp);
        if !fragmented {
            self.inside_udp(&udp, payload);
        }
    }

    fn icmp(&mut self, ip: &Ip, view: View<'_>) {
        let v6 = ip.protocol == 58;
        let protocol = if v6 { Protocol::Icmpv6 } else { Protocol::Icmp };
        let (Some(kind), Some(code)) = (view.data.first(), view.data.get(1)) else {
            return;
        };
        if !self.enter(protocol) {
            return;
        }
        let icmp = Icmp {
            v6,
            kind: *kind,
            code: *code,
            rest: view.data.get(4..).unwrap_or_default(),
        };
        self.visitor.icmp(self.packet, ip, &icmp);
    }

    fn gre(&mut self, view: View<'_>) {
        let (Some(flags), Some(inner)) = (half(view.data, 0), half(view.data, 2)) else {
            return;
        };
        if !self.enter(Protocol::Gre) {
            return;
        }
        // Checksum or routing, key, sequence number; in version 1 (PPTP) an acknowledgement too.
        let optional = [
            flags & 0xc000 != 0,
            flags & 0x2000 != 0,
            flags & 0x1000 != 0,
            flags & 7 == 1 && flags & 0x80 != 0,
        ];
        let header = 4 + 4 * optional.into_iter().filter(|there| *there).count();
        let Some(rest) = view.skip(header) else {
            return;
        };
        match inner {
            // ERSPAN: type I has no header and no sequence number, II has 8 bytes, III has 12 and more.
            0x88be if flags & 0x1000 == 0 => self.ethernet(rest),
            0x88be => self.behind(rest, 8, Self::ethernet),
            0x22eb => {
                let Some(last) = word(rest.data, 8) else {
                    return;
                };
                // The frame type: 0 is Ethernet.
                if last >> 10 & 0x1f == 0 {
                    let longer = last & 1 == 1;
                    self.behind(rest, if longer { 20 } else { 12 }, Self::ethernet);
                }
            }
            inner => self.ether_type(inner, rest),
        }
    }

    pub(super) fn behind(
        &mut self,
        view: View<'_>,
        header: usize,
        go_on: impl Fn(&mut Self, View<'_>),
    ) {
        if let Some(rest) = view.skip(header) {
            go_on(self, rest);
        }
    }
}
