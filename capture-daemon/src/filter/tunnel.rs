//! The packet inside a tunnel.
//!
//! The outer packet is looked through for an Ethernet frame in VXLAN (RFC 7348) or Geneve (RFC 8926)
//! over UDP, over IPv4 or over IPv6 without extension headers, behind up to two VLAN tags. What
//! follows sees that frame as its packet.

use std::{fmt, str::FromStr};

use super::{
    build::{Builder, Mark},
    insn::{Alu, Cond, Size},
    ir::{Fragment, Op, Operand, Verdict},
};
use crate::pipeline::packet::LinkType;

/// A tunnel to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tunnel {
    /// Its protocol.
    pub protocol: TunnelProtocol,
    /// The UDP destination port. Without one, every UDP packet is looked at whose tunnel header has
    /// every reserved bit 0, and it must carry Ethernet.
    pub port: Option<u16>,
}

/// A tunnel's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TunnelProtocol {
    /// RFC 7348; usually on port 4789.
    Vxlan,
    /// RFC 8926; usually on port 6081.
    Geneve,
}

impl Tunnel {
    /// Either protocol, on any port.
    pub const ANY: [Self; 2] = [
        Self {
            protocol: TunnelProtocol::Vxlan,
            port: None,
        },
        Self {
            protocol: TunnelProtocol::Geneve,
            port: None,
        },
    ];
}

/// A tunnel that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tunnel {0:?}: give vxlan, vxlan:PORT, geneve or geneve:PORT, with a port of 1 to 65535")]
pub struct TunnelError(String);

impl FromStr for Tunnel {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let wrong = || TunnelError(text.to_owned());
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => {
                let port: u16 = port.parse().map_err(|_| wrong())?;
                (name, Some(port).filter(|port| *port != 0))
            }
        };
        if text.contains(':') && port.is_none() {
            return Err(wrong());
        }
        let protocol = match name {
            "vxlan" => TunnelProtocol::Vxlan,
            "geneve" => TunnelProtocol::Geneve,
            _ => return Err(wrong()),
        };
        Ok(Self { protocol, port })
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            TunnelProtocol::Vxlan => "vxlan",
            TunnelProtocol::Geneve => "geneve",
        })?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

const UDP: u32 = 17;
const UDP_HEADER: u32 = 8;
const TUNNEL_HEADER: u32 = 8;
/// The Ethernet type of an Ethernet frame, "Transparent Ethernet Bridging".
const ETHERNET: u32 = 0x6558;

/// The fragment that moves the beginning of the packet to the frame inside the first of the tunnels
/// that fits.
pub(super) fn enter(tunnels: &[Tunnel], link_type: LinkType) -> Fragment {
    let mut builder = Builder::default();
    let (udp, none) = (builder.mark(), builder.mark());
    let carried = builder.link_layer(link_type);

    builder.bind(carried.ipv4);
    builder.load(Size::Byte, 9);
    builder.require(Cond::Eq, UDP, none);
    builder.load(Size::Half, 6);
    builder.branch(Cond::Set, 0x1fff, none);
    builder.past_ipv4_header();
    builder.push(Op::Jump(udp.index()));

    builder.bind(carried.ipv6);
    builder.load(Size::Byte, 6);
    builder.require(Cond::Eq, UDP, none);
    builder.push(Op::ToA);
    builder.alu(Alu::Add, 40);
    builder.push(Op::ToX);

    builder.bind(udp);
    for tunnel in tunnels {
        let next = builder.mark();
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
    builder.bind(carried.arp);
    builder.verdict(Verdict::NoMatch);
    builder.finish()
}

/// A = length of the UDP and the VXLAN header
fn vxlan(builder: &mut Builder, strict: bool, otherwise: Mark) {
    if strict {
        // The flag that says that there is a network identifier, and nothing but that.
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

/// A = length of the UDP and the Geneve header, options and all
fn geneve(builder: &mut Builder, strict: bool, otherwise: Mark) {
    builder.load(Size::Half, UDP_HEADER + 2);
    builder.require(Cond::Eq, ETHERNET, otherwise);
    if strict {
        builder.load(Size::Byte, UDP_HEADER + 1);
        builder.branch(Cond::Set, 0x3f, otherwise);
        builder.load(Size::Byte, UDP_HEADER + 7);
        builder.require(Cond::Eq, 0, otherwise);
    }
    builder.load(Size::Byte, UDP_HEADER);
    // The version; there is only 0.
    builder.branch(Cond::Set, 0xc0, otherwise);
    builder.alu(Alu::And, 0x3f);
    builder.alu(Alu::Lsh, 2);
    builder.alu(Alu::Add, UDP_HEADER + TUNNEL_HEADER);
}

#[cfg(test)]
mod tests;
