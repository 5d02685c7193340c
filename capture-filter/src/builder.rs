//! Builds fragments that do not come from libpcap: jumps to labels, resolved at the end.

use super::{
    insn::{Alu, Cond, Size},
    ir::{Fragment, Op, Operand, VLAN_TYPES, Verdict},
    program::MapRef,
};
use capture_types::LinkType;

/// Maximum IPv6 extension headers that are skipped.
const MAX_EXTENSION_HEADERS: usize = 6;

/// A jump target, bound once and after every jump to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label(usize);

/// A fragment under construction. Its jumps refer to labels until [`Builder::finish`].
#[derive(Debug, Default)]
pub(super) struct Builder {
    ops: Vec<Op>,
    positions: Vec<usize>,
}

/// Continuations by network layer. X is the offset of that header.
pub(super) struct NetworkLayer {
    pub(super) ipv4: Label,
    pub(super) ipv6: Label,
    pub(super) arp: Label,
    /// Everything else.
    pub(super) other: Label,
}

impl Builder {
    pub(super) fn label(&mut self) -> Label {
        self.positions.push(usize::MAX);
        Label(self.positions.len() - 1)
    }

    pub(super) fn bind(&mut self, label: Label) {
        self.positions[label.0] = self.ops.len();
    }

    pub(super) fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// A = packet\[X + offset\]
    pub(super) fn load(&mut self, size: Size, offset: u32) {
        self.push(Op::LoadIndirect { size, offset });
    }

    pub(super) fn alu(&mut self, operation: Alu, k: u32) {
        self.push(Op::Arithmetic(operation, Operand::K(k)));
    }

    /// Jumps to `then` if the comparison of A holds, else continues.
    pub(super) fn branch(&mut self, cond: Cond, k: u32, then: Label) {
        let next = self.label();
        self.push(Op::Branch {
            cond,
            operand: Operand::K(k),
            then: then.0,
            otherwise: next.0,
        });
        self.bind(next);
    }

    /// Continues if the comparison of A holds, else jumps to `otherwise`.
    pub(super) fn require(&mut self, cond: Cond, k: u32, otherwise: Label) {
        let next = self.label();
        self.push(Op::Branch {
            cond,
            operand: Operand::K(k),
            then: next.0,
            otherwise: otherwise.0,
        });
        self.bind(next);
    }

    /// Jumps to `then` if the key is in the map, else continues.
    pub(super) fn lookup(&mut self, map: MapRef, words: u8, then: Label) {
        let next = self.label();
        self.push(Op::Lookup {
            map,
            words,
            then: then.0,
            otherwise: next.0,
        });
        self.bind(next);
    }

    /// Jumps to `then` if bit A of the map is set, else continues.
    pub(super) fn bit(&mut self, map: MapRef, then: Label) {
        let next = self.label();
        self.push(Op::Bit {
            map,
            then: then.0,
            otherwise: next.0,
        });
        self.bind(next);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.push(Op::Jump(to.0));
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.push(Op::Return(verdict));
    }

    /// X = X + the length of the IPv4 header at X
    pub(super) fn past_ipv4_header(&mut self) {
        self.load(Size::Byte, 0);
        self.alu(Alu::And, 15);
        self.alu(Alu::Lsh, 2);
        self.advance_x();
    }

    /// X = X + A
    fn advance_x(&mut self) {
        self.push(Op::Arithmetic(Alu::Add, Operand::X));
        self.push(Op::ToX);
    }

    /// Moves X from the IPv6 header to the transport header, past extension headers (RFC 8200 and the
    /// authentication header), and jumps to `found` if it is one of `protocols`; otherwise, and for
    /// fragments past the first and packets with more than [`MAX_EXTENSION_HEADERS`], to `none`.
    pub(super) fn ipv6_transport(&mut self, protocols: &[u32], found: Label, none: Label) {
        const HOP_BY_HOP: u32 = 0;
        const ROUTING: u32 = 43;
        const FRAGMENT: u32 = 44;
        const AUTHENTICATION: u32 = 51;
        const DESTINATION: u32 = 60;
        /// The scratch cell that keeps the next header's number.
        const NEXT: u8 = 0;

        self.load(Size::Byte, 6);
        self.push(Op::StoreScratch(NEXT));
        self.push(Op::Constant(40));
        for _ in 0..MAX_EXTENSION_HEADERS {
            self.advance_x();
            self.push(Op::LoadScratch(NEXT));
            for protocol in protocols {
                self.branch(Cond::Eq, *protocol, found);
            }
            let (fragment, authentication, passed) = (self.label(), self.label(), self.label());
            self.branch(Cond::Eq, FRAGMENT, fragment);
            self.branch(Cond::Eq, AUTHENTICATION, authentication);
            let options = self.label();
            self.branch(Cond::Eq, HOP_BY_HOP, options);
            self.branch(Cond::Eq, ROUTING, options);
            self.require(Cond::Eq, DESTINATION, none);

            self.bind(options);
            self.load(Size::Byte, 0);
            self.push(Op::StoreScratch(NEXT));
            self.load(Size::Byte, 1);
            self.alu(Alu::Add, 1);
            self.alu(Alu::Lsh, 3);
            self.jump(passed);

            self.bind(authentication);
            self.load(Size::Byte, 0);
            self.push(Op::StoreScratch(NEXT));
            self.load(Size::Byte, 1);
            self.alu(Alu::Add, 2);
            self.alu(Alu::Lsh, 2);
            self.jump(passed);

            self.bind(fragment);
            self.load(Size::Half, 2);
            self.branch(Cond::Set, 0xfff8, none);
            self.load(Size::Byte, 0);
            self.push(Op::StoreScratch(NEXT));
            self.push(Op::Constant(8));

            self.bind(passed);
        }
        self.advance_x();
        self.push(Op::LoadScratch(NEXT));
        for protocol in protocols {
            self.branch(Cond::Eq, *protocol, found);
        }
        self.jump(none);
    }

    /// Finds the network layer and its offset, after up to two VLAN tags in the bytes.
    pub(super) fn link_layer(&mut self, link_type: LinkType) -> NetworkLayer {
        let network = NetworkLayer {
            ipv4: self.label(),
            ipv6: self.label(),
            arp: self.label(),
            other: self.label(),
        };
        match link_type {
            LinkType::Raw => {
                self.push(Op::XConstant(0));
                self.load(Size::Byte, 0);
                self.alu(Alu::Rsh, 4);
                self.branch(Cond::Eq, 4, network.ipv4);
                self.branch(Cond::Eq, 6, network.ipv6);
                self.jump(network.other);
            }
            LinkType::Ethernet => {
                let (tagged, again) = (self.label(), self.label());
                self.ethernet_type(14, &network, Some(tagged));
                self.bind(tagged);
                self.ethernet_type(18, &network, Some(again));
                self.bind(again);
                self.ethernet_type(22, &network, None);
            }
        }
        network
    }

    fn ethernet_type(&mut self, end: u32, network: &NetworkLayer, tag: Option<Label>) {
        self.push(Op::XConstant(end));
        self.push(Op::Load {
            size: Size::Half,
            offset: end - 2,
        });
        self.branch(Cond::Eq, 0x0800, network.ipv4);
        self.branch(Cond::Eq, 0x86dd, network.ipv6);
        self.branch(Cond::Eq, 0x0806, network.arp);
        self.branch(Cond::Eq, 0x8035, network.arp);
        if let Some(tag) = tag {
            for kind in VLAN_TYPES {
                self.branch(Cond::Eq, kind, tag);
            }
        }
        self.jump(network.other);
    }

    pub(super) fn finish(mut self) -> Fragment {
        for op in &mut self.ops {
            match op {
                Op::Jump(target) => *target = self.positions[*target],
                Op::Branch {
                    then, otherwise, ..
                }
                | Op::Lookup {
                    then, otherwise, ..
                }
                | Op::Bit {
                    then, otherwise, ..
                } => {
                    *then = self.positions[*then];
                    *otherwise = self.positions[*otherwise];
                }
                _ => {}
            }
        }
        Fragment { ops: self.ops }
    }
}
