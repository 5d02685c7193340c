//! An expression as written, independent of the link type of the packets.

/// Protocols with a name in expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proto {
    Link,
    Ip,
    Ip6,
    /// By the type in the link header: ARP, RARP and rarer ones.
    Type(u16),
    /// By the service access point of LLC.
    Sap(u8),
    /// Carried by IPv4 or IPv6, and whether by IPv4 only.
    Transport(u8, bool),
    Icmp6,
}

impl Proto {
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const SCTP: u8 = 132;
    pub(super) const ARP: Self = Self::Type(0x0806);
    pub(super) const RARP: Self = Self::Type(0x8035);

    /// By its name in expressions.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ether" | "link" | "fddi" | "tr" | "wlan" | "ppp" | "slip" => Self::Link,
            "ip" => Self::Ip,
            "ip6" => Self::Ip6,
            "arp" => Self::ARP,
            "rarp" => Self::RARP,
            "atalk" => Self::Type(0x809b),
            "aarp" => Self::Type(0x80f3),
            "decnet" => Self::Type(0x6003),
            "lat" => Self::Type(0x6004),
            "sca" => Self::Type(0x6007),
            "mopdl" => Self::Type(0x6001),
            "moprc" => Self::Type(0x6002),
            "stp" => Self::Sap(0x42),
            "ipx" => Self::Sap(0xe0),
            "netbeui" => Self::Sap(0xf0),
            "iso" => Self::Sap(0xfe),
            "tcp" => Self::Transport(Self::TCP, false),
            "udp" => Self::Transport(Self::UDP, false),
            "sctp" => Self::Transport(Self::SCTP, false),
            "pim" => Self::Transport(103, false),
            "ah" => Self::Transport(51, false),
            "esp" => Self::Transport(50, false),
            "icmp" => Self::Transport(1, true),
            "igmp" => Self::Transport(2, true),
            "igrp" => Self::Transport(9, true),
            "vrrp" | "carp" => Self::Transport(112, true),
            "icmp6" => Self::Icmp6,
            _ => return None,
        })
    }
}

/// An end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Either,
    Both,
    Source,
    Destination,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ast {
    And(Box<Ast>, Box<Ast>),
    Or(Box<Ast>, Box<Ast>),
    Not(Box<Ast>),
    Is(Primitive),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Primitive {
    Protocol(Proto),
    /// The protocol, or those with such addresses; the address and its mask.
    Net4(Option<Proto>, Side, u32, u32),
    Net6(Side, u128, u128),
    Ether(Side, [u8; 6]),
    /// The transport protocol or any with ports; the first and the last port.
    Ports(Option<u8>, Side, u16, u16),
    EtherType(u32),
    /// The protocol carried by IPv4 (false), IPv6 (true) or either of them.
    Carries(Option<bool>, u8),
    Broadcast,
    /// Of the link, of IPv4 (false) or IPv6 (true).
    Multicast(Option<bool>),
    Vlan(Option<u32>),
    Mpls(Option<u32>),
    PppoeSession(Option<u32>),
    Relation(Arithmetic, Relation, Arithmetic),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Number(u32),
    Length,
    /// This many bytes of a protocol's header at an offset.
    Load(Proto, Box<Arithmetic>, u8),
    Negated(Box<Arithmetic>),
    Of(Operator, Box<Arithmetic>, Box<Arithmetic>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    Greater,
}

/// The meaning of an identifier: the words before it, which later ones without words inherit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qualifiers {
    pub(super) proto: Option<Proto>,
    pub(super) side: Side,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}
