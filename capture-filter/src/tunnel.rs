//! The packet inside a tunnel.
//!
//! The outer packet is searched for an Ethernet frame in VXLAN (RFC 7348) or Geneve (RFC 8926) over
//! UDP, over IPv4 or IPv6, after up to two VLAN tags. The stages after this one see that frame as
//! their packet.

use super::{
    builder::{Builder, Label},
    insn::{Alu, Cond, Size},
    ir::{Fragment, Op, Operand, Verdict},
};
use capture_types::LinkType;
use capture_types::{Tunnel, TunnelProtocol};

const UDP: u32 = 17;
const UDP_HEADER: u32 = 8;
const TUNNEL_HEADER: u32 = 8;
/// The Ethernet type of an Ethernet frame, "Transparent Ethernet Bridging".
const ETHERNET: u32 = 0x6558;

/// The fragment that moves the beginning of the packet to the frame inside the first tunnel that
/// matches.
pub(super) fn enter(tunnels: &[Tunnel], link_type: LinkType) -> Fragment {
    let mut builder = Builder::default();
    let (udp, none) = (builder.label(), builder.label());
    let network = builder.link_layer(link_type);

    builder.bind(network.ipv4);
    builder.load(Size::Byte, 9);
    builder.require(Cond::Eq, UDP, none);
    builder.load(Size::Half, 6);
    builder.branch(Cond::Set, 0x1fff, none);
    builder.past_ipv4_header();
    builder.jump(udp);

    builder.bind(network.ipv6);
    builder.ipv6_transport(&[UDP], udp, none);

    builder.bind(udp);
    for tunnel in tunnels {
        let next = builder.label();
        if let Some(port) = tunnel.port {
            builder.load(Size::Half, 2);
            builder.require(Cond::Eq, port.into(), next);
        }
        match tunnel.protocol {
            TunnelProtocol::Vxlan => vxlan(&mut builder, tunnel.port.is_none(), next),
            TunnelProtocol::Geneve => geneve(&mut builder, tunnel.port.is_none(), next),
        }
        builder.push(Op::Arithmetic(Alu::Add, Operand::X));
        builder.push(Op::Advance);
        builder.verdict(Verdict::Match);
        builder.bind(next);
    }
    builder.bind(none);
    builder.bind(network.arp);
    builder.bind(network.other);
    builder.verdict(Verdict::NoMatch);
    builder.finish()
}

/// A = length of the UDP and the VXLAN header
fn vxlan(builder: &mut Builder, strict: bool, otherwise: Label) {
    if strict {
        // The flag for a valid network identifier, and no other flag.
        builder.load(Size::Word, UDP_HEADER);
        builder.require(Cond::Eq, 0x0800_0000, otherwise);
        builder.load(Size::Byte, UDP_HEADER + 7);
        builder.require(Cond::Eq, 0, otherwise);
    } else {
        builder.load(Size::Byte, UDP_HEADER);
        builder.require(Cond::Set, 0x08, otherwise);
    }
    builder.push(Op::Constant(UDP_HEADER + TUNNEL_HEADER));
}

/// A = length of the UDP and the Geneve header, including options
fn geneve(builder: &mut Builder, strict: bool, otherwise: Label) {
    builder.load(Size::Half, UDP_HEADER + 2);
    builder.require(Cond::Eq, ETHERNET, otherwise);
    if strict {
        builder.load(Size::Byte, UDP_HEADER + 1);
        builder.branch(Cond::Set, 0x3f, otherwise);
        builder.load(Size::Byte, UDP_HEADER + 7);
        builder.require(Cond::Eq, 0, otherwise);
    }
    builder.load(Size::Byte, UDP_HEADER);
    // The version must be 0.
    builder.branch(Cond::Set, 0xc0, otherwise);
    builder.alu(Alu::And, 0x3f);
    builder.alu(Alu::Lsh, 2);
    builder.alu(Alu::Add, UDP_HEADER + TUNNEL_HEADER);
}

#[cfg(test)]
mod tests;
