//! Builds fragments that do not come from libpcap: jumps to labels, resolved at the end.

use super::{
    insn::{Alu, Cond, Size},
    ir::{Fragment, Op, Operand, Verdict},
    program::MapRef,
};
use capture_types::LinkType;

/// A place to jump to, bound once and after every jump to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label(usize);

/// A fragment under construction. Its jumps hold labels until [`Builder::finish`].
#[derive(Debug, Default)]
pub(super) struct Builder {
    ops: Vec<Op>,
    positions: Vec<usize>,
}

/// Where a packet continues, by its network layer. X is the offset of that header.
pub(super) struct NetworkLayer {
    pub(super) ipv4: Label,
    pub(super) ipv6: Label,
    pub(super) arp: Label,
}

impl Label {
    /// The number that jumps hold until the fragment is finished.
    pub(super) const fn index(self) -> usize {
        self.0
    }
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

    /// Jumps to `then` if A compares so, else goes on.
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

    /// Goes on if A compares so, else jumps to `otherwise`.
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

    /// Jumps to `then` if the key is in the map, else goes on.
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

    /// Jumps to `then` if bit A of the map is set, else goes on.
    pub(super) fn bit(&mut self, map: MapRef, then: Label) {
        let next = self.label();
        self.push(Op::Bit {
            map,
            then: then.0,
            otherwise: next.0,
        });
        self.bind(next);
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.push(Op::Return(verdict));
    }

    /// X = X + the length of the IPv4 header at X
    pub(super) fn past_ipv4_header(&mut self) {
        self.load(Size::Byte, 0);
        self.alu(Alu::And, 15);
        self.alu(Alu::Lsh, 2);
        self.push(Op::Arithmetic(Alu::Add, Operand::X));
        self.push(Op::ToX);
    }

    /// Finds the network layer and its offset, behind up to two VLAN tags in the bytes. Packets of other
    /// network layers do not match.
    pub(super) fn link_layer(&mut self, link_type: LinkType) -> NetworkLayer {
        let network = NetworkLayer {
            ipv4: self.label(),
            ipv6: self.label(),
            arp: self.label(),
        };
        match link_type {
            LinkType::Raw => {
                self.push(Op::XConstant(0));
                self.load(Size::Byte, 0);
                self.alu(Alu::Rsh, 4);
                self.branch(Cond::Eq, 4, network.ipv4);
                self.branch(Cond::Eq, 6, network.ipv6);
                self.verdict(Verdict::NoMatch);
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
            // 802.1Q, 802.1ad, and what came before that: those that libpcap's `vlan` knows.
            for kind in [0x8100, 0x88a8, 0x9100] {
                self.branch(Cond::Eq, kind, tag);
            }
        }
        self.verdict(Verdict::NoMatch);
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
