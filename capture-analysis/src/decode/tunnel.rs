//! Tunnels in UDP, recognised by their ports.

use super::{Protocol, Udp, View, Visitor, Walk, bytes::half};

const VXLAN: u16 = 4789;
const GENEVE: u16 = 6081;
const GTP_USER: u16 = 2152;
const TEREDO: u16 = 3544;
const L2TP: u16 = 1701;

impl<V: Visitor> Walk<'_, '_, V> {
    #[inline]
    pub(super) fn inside_udp(&mut self, udp: &Udp<'_>, payload: View<'_>) {
        let either = |port| udp.source == port || udp.destination == port;
        if udp.destination == VXLAN {
            if payload.data.first().is_some_and(|flags| flags & 8 != 0)
                && self.enter(Protocol::Vxlan)
            {
                self.behind(payload, 8, Self::ethernet);
            }
        } else if udp.destination == GENEVE {
            self.geneve(payload);
        } else if either(GTP_USER) {
            self.gtp(payload);
        } else if either(TEREDO) {
            self.teredo(payload);
        } else if either(L2TP) {
            self.l2tp(payload);
        }
    }

    fn geneve(&mut self, view: View<'_>) {
        let (Some(first), Some(inner)) = (view.data.first(), half(view.data, 2)) else {
            return;
        };
        let options = usize::from(first & 0x3f) * 4;
        if first >> 6 == 0
            && self.enter(Protocol::Geneve)
            && let Some(rest) = view.skip(8 + options)
        {
            self.ether_type(inner, rest);
        }
    }

    /// GTP version 1, a user's packet (3GPP TS 29.281).
    fn gtp(&mut self, view: View<'_>) {
        let [flags, 0xff, ..] = view.data else {
            return;
        };
        if flags >> 4 != 3 || !self.enter(Protocol::Gtp) {
            return;
        }
        let mut header = 8;
        if flags & 7 != 0 {
            header = 12;
            let mut next = match view.data.get(11) {
                Some(next) if flags & 4 != 0 => *next,
                _ => 0,
            };
            while next != 0 {
                let Some(length) = view.data.get(header).filter(|length| **length > 0) else {
                    return;
                };
                header += usize::from(*length) * 4;
                let Some(following) = view.data.get(header - 1) else {
                    return;
                };
                next = *following;
            }
        }
        self.behind(view, header, Self::ip);
    }

    /// RFC 4380, 5.1.1: authentication and origin may precede the packet.
    fn teredo(&mut self, mut view: View<'_>) {
        if let [0, 1, id, authentication, ..] = view.data {
            let header = 13 + usize::from(*id) + usize::from(*authentication);
            match view.skip(header) {
                Some(rest) => view = rest,
                None => return,
            }
        }
        if view.data.starts_with(&[0, 0]) {
            match view.skip(8) {
                Some(rest) => view = rest,
                None => return,
            }
        }
        if view.data.first().is_some_and(|byte| byte >> 4 == 6) && self.enter(Protocol::Teredo) {
            self.ipv6(view);
        }
    }

    /// Version 2, data messages (RFC 2661, 3.1).
    fn l2tp(&mut self, view: View<'_>) {
        let Some(flags) = half(view.data, 0) else {
            return;
        };
        if flags & 15 != 2 || flags & 0x8000 != 0 || !self.enter(Protocol::L2tp) {
            return;
        }
        let mut header = 6;
        if flags & 0x4000 != 0 {
            header += 2;
        }
        if flags & 0x0800 != 0 {
            header += 4;
        }
        if flags & 0x0200 != 0 {
            let Some(offset) = half(view.data, header) else {
                return;
            };
            header += 2 + usize::from(offset);
        }
        self.behind(view, header, Self::ppp);
    }
}
