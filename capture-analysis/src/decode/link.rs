//! Link layers, up to the IP header.

use super::{
    Ethernet, Protocol, View, Visitor, Walk,
    bytes::{half, mac, word},
};

const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const PPP: u16 = 9;
const RAW: [u16; 3] = [101, 12, 14];
const PPP_HDLC: u16 = 50;
const CISCO_HDLC: u16 = 104;
const LOOP: u16 = 108;
const SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const SLL2: u16 = 276;

pub(super) const fn decodes(link_type: u16) -> bool {
    matches!(
        link_type,
        ETHERNET
            | NULL
            | PPP
            | PPP_HDLC
            | CISCO_HDLC
            | 101
            | 12
            | 14
            | LOOP
            | SLL
            | IPV4
            | IPV6
            | SLL2
    )
}

/// Up to this value the field is a length (IEEE 802.3), above it a type.
const LARGEST_LENGTH: u16 = 1500;

impl<V: Visitor> Walk<'_, '_, V> {
    /// False if the link type is not decoded.
    #[inline]
    pub(super) fn link(&mut self, link_type: u16, view: View<'_>) -> bool {
        match link_type {
            ETHERNET => self.ethernet(view),
            NULL | LOOP => self.loopback(link_type, view),
            PPP | PPP_HDLC => self.ppp_frame(view),
            CISCO_HDLC => self.cisco_hdlc(view),
            SLL => self.cooked(view, 14, 16),
            SLL2 => self.cooked(view, 0, 20),
            IPV4 => self.enter_raw(view, Self::ipv4),
            IPV6 => self.enter_raw(view, Self::ipv6),
            other if RAW.contains(&other) => self.enter_raw(view, Self::ip),
            _ => return false,
        }
        true
    }

    fn enter_raw(&mut self, view: View<'_>, ip: impl Fn(&mut Self, View<'_>)) {
        if self.enter(Protocol::Raw) {
            ip(self, view);
        }
    }

    #[inline]
    pub(super) fn ethernet(&mut self, view: View<'_>) {
        let (Some(destination), Some(source)) = (mac(view.data, 0), mac(view.data, 6)) else {
            return;
        };
        if !self.enter(Protocol::Ethernet) {
            return;
        }
        let ethernet = Ethernet {
            source,
            destination,
        };
        let (Some(ether_type), Some(rest)) = (half(view.data, 12), view.skip(14)) else {
            return;
        };
        self.visitor.ethernet(self.packet, &ethernet);
        self.type_or_length(ether_type, rest);
    }

    #[inline]
    fn type_or_length(&mut self, ether_type: u16, rest: View<'_>) {
        if ether_type <= LARGEST_LENGTH {
            self.llc(rest.limit(usize::from(ether_type)));
        } else {
            self.ether_type(ether_type, rest);
        }
    }

    #[inline]
    pub(super) fn ether_type(&mut self, ether_type: u16, view: View<'_>) {
        match ether_type {
            0x0800 => self.ipv4(view),
            0x86dd => self.ipv6(view),
            0x0806 => {
                if self.enter(Protocol::Arp) {
                    self.visitor.arp(self.packet, view.data);
                }
            }
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let (Some(inner), Some(rest)) = (half(view.data, 2), view.skip(4)) else {
                    return;
                };
                if self.enter(Protocol::Vlan) {
                    self.type_or_length(inner, rest);
                }
            }
            0x8847 | 0x8848 => self.mpls(view),
            0x8864 => self.pppoe(view),
            0x880b => self.ppp(view),
            0x6558 => self.ethernet(view),
            0x88cc => _ = self.enter(Protocol::Lldp),
            0x888e => _ = self.enter(Protocol::Eapol),
            _ => _ = self.enter(Protocol::Other),
        }
    }

    fn llc(&mut self, view: View<'_>) {
        if !self.enter(Protocol::Llc) {
            return;
        }
        match view.data {
            // SNAP with an Ethernet type after the organisation.
            [0xaa, 0xaa, 3, 0, 0, 0, high, low, ..] => {
                if let Some(rest) = view.skip(8) {
                    self.ether_type(u16::from_be_bytes([*high, *low]), rest);
                }
            }
            [6, 6, 3, ..] => {
                if let Some(rest) = view.skip(3) {
                    self.ipv4(rest);
                }
            }
            _ => {}
        }
    }

    fn mpls(&mut self, mut view: View<'_>) {
        if !self.enter(Protocol::Mpls) {
            return;
        }
        loop {
            let (Some(label), Some(rest)) = (word(view.data, 0), view.skip(4)) else {
                return;
            };
            view = rest;
            if label & 0x100 != 0 {
                break;
            }
        }
        match view.data.first().map(|byte| byte >> 4) {
            Some(4) => self.ipv4(view),
            Some(6) => self.ipv6(view),
            // The control word of a pseudowire (RFC 4448), followed by Ethernet.
            Some(0) => {
                if let Some(rest) = view.skip(4) {
                    self.ethernet(rest);
                }
            }
            _ => _ = self.enter(Protocol::Other),
        }
    }

    fn pppoe(&mut self, view: View<'_>) {
        let (Some(length), Some(rest)) = (half(view.data, 4), view.skip(6)) else {
            return;
        };
        if self.enter(Protocol::Pppoe) {
            self.ppp(rest.limit(usize::from(length)));
        }
    }

    fn ppp_frame(&mut self, view: View<'_>) {
        // Cisco's framing with the same link type: unicast or multicast, and control 0.
        if matches!(view.data, [0x0f | 0x8f, 0, ..]) {
            return self.cisco_hdlc(view);
        }
        if self.enter(Protocol::Ppp) {
            self.ppp(view);
        }
    }

    /// Address, control and an Ethernet type; Cisco's keep-alives have a separate type.
    fn cisco_hdlc(&mut self, view: View<'_>) {
        let (Some(ether_type), Some(rest)) = (half(view.data, 2), view.skip(4)) else {
            return;
        };
        if self.enter(Protocol::Ppp) {
            self.ether_type(ether_type, rest);
        }
    }

    /// From the protocol on, after address and control if present.
    pub(super) fn ppp(&mut self, mut view: View<'_>) {
        if view.data.starts_with(&[0xff, 3]) {
            match view.skip(2) {
                Some(rest) => view = rest,
                None => return,
            }
        }
        let Some(first) = view.data.first().copied() else {
            return;
        };
        // An odd first byte is a compressed protocol (RFC 1661, 6.5).
        let (protocol, header) = if first & 1 == 1 {
            (u16::from(first), 1)
        } else {
            (half(view.data, 0).unwrap_or(0), 2)
        };
        let Some(rest) = view.skip(header) else {
            return;
        };
        match protocol {
            0x21 => self.ipv4(rest),
            0x57 => self.ipv6(rest),
            0x281 | 0x283 => self.mpls(rest),
            _ => _ = self.enter(Protocol::Other),
        }
    }

    /// The address family of BSD's loopback, in the byte order of the writer.
    fn loopback(&mut self, link_type: u16, view: View<'_>) {
        let (Some(family), Some(rest)) = (word(view.data, 0), view.skip(4)) else {
            return;
        };
        if !self.enter(Protocol::Loopback) {
            return;
        }
        let family = if link_type == NULL && family > 0xffff {
            family.swap_bytes()
        } else {
            family
        };
        match family {
            2 => self.ipv4(rest),
            // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
            10 | 24 | 28 | 30 => self.ipv6(rest),
            0x0600..=0xffff => self.ether_type(family as u16, rest),
            _ => _ = self.enter(Protocol::Other),
        }
    }

    /// Linux cooked capture: the protocol is at `at`, the packet at `header`.
    fn cooked(&mut self, view: View<'_>, at: usize, header: usize) {
        let (Some(protocol), Some(rest)) = (half(view.data, at), view.skip(header)) else {
            return;
        };
        if !self.enter(Protocol::LinuxCooked) {
            return;
        }
        match protocol {
            4 => self.llc(rest),
            1 => self.ethernet(rest),
            0x0600.. => self.ether_type(protocol, rest),
            _ => _ = self.enter(Protocol::Other),
        }
    }
}
