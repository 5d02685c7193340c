//! Which packets are analysed: expressions in the language of pcap-filter(7), those primitives that
//! people use on addresses, ports and protocols. There is no libpcap in here, because reports are also made
//! where it is not installed.

mod parse;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::{
    decode::{Decoder, Ethernet, FragmentLimits, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    packet::Packet,
};

/// An expression is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A word that is not known here.
    #[error(
        "{word:?} is not understood; known are: host, net, port, portrange (each also behind src, dst, \
         tcp or udp), ip, ip6, tcp, udp, icmp, icmp6, arp, sctp, vlan, less N, greater N, and, or, not, ( )"
    )]
    Word {
        /// The word.
        word: String,
    },
    /// Something is missing at the end.
    #[error("it ends where {expected} should stand")]
    End {
        /// What.
        expected: &'static str,
    },
    /// A value is not what it should be.
    #[error("{value:?} is no {expected}")]
    Value {
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It is longer than any sensible one.
    #[error("it has more than {0} words or is nested too deep")]
    TooLong(usize),
}

/// Which end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Either,
    Source,
    Destination,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    /// An address with so many leading bits.
    Net(Side, IpAddr, u8),
    Ports(Side, Option<u8>, u16, u16),
    IpVersion(bool),
    Transport(u8),
    Arp,
    Vlan,
    /// At most, or at least, so long.
    Less(u32),
    Greater(u32),
}

/// A filter of packets.
#[derive(Clone)]
pub struct Filter {
    expression: Expression,
    decoder: std::sync::Arc<std::sync::Mutex<Decoder>>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expression.fmt(f)
    }
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is not understood; the message names what is.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self {
            expression: parse::parse(text)?,
            decoder: std::sync::Arc::new(std::sync::Mutex::new(Decoder::new(
                FragmentLimits::default(),
            ))),
        })
    }

    /// Whether a packet matches by its outermost addresses and ports. As with libpcap, fragments behind the
    /// first have no ports.
    pub fn matches(&mut self, packet: &Packet<'_>) -> bool {
        let mut facts = Facts {
            length: packet.original_length,
            ..Facts::default()
        };
        let mut decoder = self
            .decoder
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        decoder.decode(packet, &mut facts);
        facts.match_with(&self.expression)
    }
}

/// What is known of a packet.
#[derive(Default)]
struct Facts {
    length: u32,
    addresses: Option<(IpAddr, IpAddr)>,
    transport: Option<u8>,
    ports: Option<(u16, u16)>,
    arp: bool,
    vlan: bool,
}

impl Visitor for Facts {
    fn protocol(&mut self, _packet: &Packet<'_>, protocol: Protocol) {
        self.vlan |= protocol == Protocol::Vlan;
    }

    fn ethernet(&mut self, _packet: &Packet<'_>, _ethernet: &Ethernet) {}

    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {
        self.arp = true;
    }

    fn ip(&mut self, _packet: &Packet<'_>, ip: &Ip) {
        if self.addresses.is_none() {
            self.addresses = Some((ip.source, ip.destination));
            self.transport = Some(ip.protocol);
        }
    }

    fn tcp(&mut self, _packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>) {
        if ip.depth == 0 {
            self.ports = Some((tcp.source, tcp.destination));
        }
    }

    fn udp(&mut self, _packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>) {
        if ip.depth == 0 {
            self.ports = Some((udp.source, udp.destination));
        }
    }

    fn icmp(&mut self, _packet: &Packet<'_>, _ip: &Ip, _icmp: &Icmp<'_>) {}
}

impl Facts {
    fn match_with(&self, expression: &Expression) -> bool {
        match expression {
            Expression::And(one, other) => self.match_with(one) && self.match_with(other),
            Expression::Or(one, other) => self.match_with(one) || self.match_with(other),
            Expression::Not(inner) => !self.match_with(inner),
            Expression::Net(side, net, bits) => self
                .addresses
                .is_some_and(|ends| of_side(*side, ends, |address| in_net(address, *net, *bits))),
            Expression::Ports(side, transport, from, to) => {
                transport.is_none_or(|transport| self.transport == Some(transport))
                    && self.ports.is_some_and(|ends| {
                        of_side(*side, ends, |port| (*from..=*to).contains(&port))
                    })
            }
            Expression::IpVersion(v6) => self
                .addresses
                .is_some_and(|(source, _)| source.is_ipv6() == *v6),
            Expression::Transport(number) => self.transport == Some(*number),
            Expression::Arp => self.arp,
            Expression::Vlan => self.vlan,
            Expression::Less(length) => self.length <= *length,
            Expression::Greater(length) => self.length >= *length,
        }
    }
}

fn of_side<T>(side: Side, (source, destination): (T, T), is: impl Fn(T) -> bool) -> bool {
    match side {
        Side::Either => is(source) || is(destination),
        Side::Source => is(source),
        Side::Destination => is(destination),
    }
}

fn in_net(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (address, net) {
        (IpAddr::V4(address), IpAddr::V4(net)) => {
            let differing = address.to_bits() ^ net.to_bits();
            differing.leading_zeros() >= u32::from(bits.min(32))
        }
        (IpAddr::V6(address), IpAddr::V6(net)) => {
            let differing = address.to_bits() ^ net.to_bits();
            differing.leading_zeros() >= u32::from(bits.min(128))
        }
        _ => false,
    }
}
