//! Compiles an expression for one link type. As in libpcap, `vlan`, `mpls` and `pppoes` move the offset
//! for everything written after them.

use super::{
    ast::{Arithmetic, Ast, Operator, Primitive, Proto, Relation, Side},
    code::{Code, Value},
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const SCTP_TCP_UDP: [u8; 3] = [Proto::TCP, Proto::UDP, Proto::SCTP];
/// Up to this value the field of an Ethernet header is a length.
const LARGEST_LENGTH: u32 = 1500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Ethernet,
    Cooked,
    Ppp,
    CiscoHdlc,
    Loopback,
    Raw,
    Only(bool),
    /// Labels precede the network layer, which identifies itself.
    Labels,
    Unknown,
}

/// The offsets of the headers.
#[derive(Debug, Clone, Copy)]
struct Place {
    link: Link,
    /// The link header.
    start: u32,
    /// The field with the inner protocol.
    kind: u32,
    /// The network header.
    net: u32,
}

pub(super) fn compile(ast: &Ast, link_type: u16) -> Code {
    let (link, kind, net) = match link_type {
        1 => (Link::Ethernet, 12, 14),
        113 => (Link::Cooked, 14, 16),
        276 => (Link::Cooked, 0, 20),
        9 | 50 => (Link::Ppp, 2, 4),
        104 => (Link::CiscoHdlc, 2, 4),
        0 | 108 => (Link::Loopback, 0, 4),
        12 | 14 | 101 => (Link::Raw, 0, 0),
        228 => (Link::Only(false), 0, 0),
        229 => (Link::Only(true), 0, 0),
        _ => (Link::Unknown, 0, 0),
    };
    let mut place = Place {
        link,
        start: 0,
        kind,
        net,
    };
    place.expression(ast)
}

const fn half(at: u32, value: u16) -> Code {
    Code::Masked(at, 2, 0xffff, value as u32)
}

const fn byte(at: u32, value: u8) -> Code {
    Code::Masked(at, 1, 0xff, value as u32)
}

/// Extends a check of one end to both of them.
fn of_side(side: Side, source: Code, destination: Code) -> Code {
    match side {
        Side::Source => source,
        Side::Destination => destination,
        Side::Either => source.or(destination),
        Side::Both => source.and(destination),
    }
}

impl Place {
    fn expression(&mut self, ast: &Ast) -> Code {
        match ast {
            Ast::And(one, other) => {
                let one = self.expression(one);
                one.and(self.expression(other))
            }
            Ast::Or(one, other) => {
                let one = self.expression(one);
                one.or(self.expression(other))
            }
            Ast::Not(inner) => self.expression(inner).not(),
            Ast::Is(primitive) => self.primitive(primitive),
        }
    }

    fn primitive(&mut self, primitive: &Primitive) -> Code {
        match primitive {
            Primitive::Protocol(proto) => self.protocol(*proto),
            Primitive::Net4(proto, side, address, mask) => {
                self.net4(*proto, *side, *address, *mask)
            }
            Primitive::Net6(side, address, mask) => self.net6(*side, *address, *mask),
            Primitive::Ether(side, address) => self.hardware(*side, address),
            Primitive::Ports(transport, side, from, to) => {
                self.ports(*transport, *side, u32::from(*from), u32::from(*to))
            }
            Primitive::EtherType(number) => self.kind(*number),
            Primitive::Carries(Some(false), number) => self.in_ipv4(*number),
            Primitive::Carries(Some(true), number) => self.in_ipv6(*number),
            Primitive::Carries(None, number) => self.in_ipv4(*number).or(self.in_ipv6(*number)),
            Primitive::Broadcast => self.hardware(Side::Destination, &[0xff; 6]),
            Primitive::Multicast(None) if self.link == Link::Ethernet => {
                Code::Masked(self.start, 1, 1, 1)
            }
            Primitive::Multicast(None) => Code::Always(false),
            Primitive::Multicast(Some(false)) => self.ipv4().and(Code::Compare(
                Value::At(self.net + 16, 1),
                Relation::AtLeast,
                Value::Number(224),
            )),
            Primitive::Multicast(Some(true)) => self.ipv6().and(byte(self.net + 24, 255)),
            Primitive::Vlan(number) => self.vlan(*number),
            Primitive::Mpls(label) => self.mpls(*label),
            Primitive::PppoeSession(session) => self.pppoe(*session),
            Primitive::Relation(one, relation, other) => {
                let (mut checks, mut one_checks) = (Code::Always(true), Code::Always(true));
                let one = self.value(one, &mut one_checks);
                let other = self.value(other, &mut checks);
                one_checks
                    .and(checks)
                    .and(Code::Compare(one, *relation, other))
            }
        }
    }

    /// Whether the link header has this inner protocol.
    fn kind(&self, number: u32) -> Code {
        let short = u16::try_from(number).unwrap_or(0);
        match self.link {
            Link::Ethernet if number > LARGEST_LENGTH => half(self.kind, short),
            Link::Ethernet => self.sap(
                Code::Compare(
                    Value::At(self.kind, 2),
                    Relation::AtMost,
                    Value::Number(LARGEST_LENGTH),
                ),
                number,
            ),
            Link::Cooked if number > LARGEST_LENGTH => half(self.kind, short),
            Link::Cooked => self.sap(half(self.kind, 4), number),
            Link::CiscoHdlc => half(self.kind, short),
            Link::Ppp => half(self.kind, ppp(short)),
            Link::Loopback => {
                // BSD's numbers, in the byte order of the host that recorded.
                let families: &[u32] = match short {
                    IPV4 => &[2],
                    IPV6 => &[10, 24, 28, 30],
                    _ => &[],
                };
                families.iter().fold(Code::Always(false), |code, family| {
                    code.or(Code::Masked(self.kind, 4, u32::MAX, *family))
                        .or(Code::Masked(self.kind, 4, u32::MAX, family.swap_bytes()))
                })
            }
            Link::Raw | Link::Labels => match short {
                IPV4 => Code::Masked(self.net, 1, 0xf0, 0x40),
                IPV6 => Code::Masked(self.net, 1, 0xf0, 0x60),
                _ => Code::Always(false),
            },
            Link::Only(six) => Code::Always(short == if six { IPV6 } else { IPV4 }),
            Link::Unknown => Code::Always(false),
        }
    }

    /// After LLC: by the access point of the destination, or for some protocols both of them.
    fn sap(&self, is_llc: Code, number: u32) -> Code {
        const NOVELL: u32 = 0xe0;
        let llc = self.net;
        let both = matches!(number, 0xfe | 0x06 | 0xf0);
        let wanted = if both {
            Code::Masked(llc, 2, 0xffff, number << 8 | number)
        } else {
            Code::Masked(llc, 1, 0xff, number)
        };
        if number != NOVELL {
            return is_llc.and(wanted);
        }
        // Also without LLC, in SNAP, and by its type.
        let snap = Code::Masked(llc, 4, u32::MAX, 0xaaaa_0300).and(Code::Masked(
            llc + 4,
            4,
            u32::MAX,
            0x8137,
        ));
        let inside = wanted.or(half(llc, 0xffff)).or(snap);
        let code = is_llc.and(inside);
        if self.link == Link::Ethernet {
            code.or(half(self.kind, 0x8137))
        } else {
            code
        }
    }

    fn ipv4(&self) -> Code {
        self.kind(u32::from(IPV4))
    }

    fn ipv6(&self) -> Code {
        self.kind(u32::from(IPV6))
    }

    fn in_ipv4(&self, number: u8) -> Code {
        self.ipv4().and(byte(self.net + 9, number))
    }

    /// After the header, or after a fragment header that follows it.
    fn in_ipv6(&self, number: u8) -> Code {
        const FRAGMENT: u8 = 44;
        let behind = byte(self.net + 6, FRAGMENT).and(byte(self.net + 40, number));
        self.ipv6().and(behind.or(byte(self.net + 6, number)))
    }

    fn protocol(&self, proto: Proto) -> Code {
        match proto {
            Proto::Link => Code::Always(true),
            Proto::Ip => self.ipv4(),
            Proto::Ip6 => self.ipv6(),
            Proto::Type(number @ (0x809b | 0x80f3)) if self.link == Link::Ethernet => {
                // AppleTalk also occurs in SNAP.
                let organisation = if number == 0x809b { 0x0800_0700 } else { 0 };
                let snap = Code::Compare(
                    Value::At(self.kind, 2),
                    Relation::AtMost,
                    Value::Number(LARGEST_LENGTH),
                )
                .and(Code::Masked(
                    self.net,
                    4,
                    u32::MAX,
                    0xaaaa_0300 | organisation >> 24,
                ))
                .and(Code::Masked(
                    self.net + 4,
                    4,
                    u32::MAX,
                    organisation << 8 | u32::from(number),
                ));
                snap.or(half(self.kind, number))
            }
            Proto::Type(number) => self.kind(u32::from(number)),
            Proto::Sap(number) => self.kind(u32::from(number)),
            Proto::Transport(number, true) => self.in_ipv4(number),
            Proto::Transport(number, false) => self.in_ipv4(number).or(self.in_ipv6(number)),
            Proto::Icmp6 => self.in_ipv6(58),
        }
    }

    fn net4(&self, proto: Option<Proto>, side: Side, address: u32, mask: u32) -> Code {
        let ends = |kind: Code, source: u32, destination: u32| {
            let end = |at| Code::Masked(self.net + at, 4, mask, address);
            kind.and(of_side(side, end(source), end(destination)))
        };
        let ip = || ends(self.ipv4(), 12, 16);
        let arp = |number: Proto| ends(self.protocol(number), 14, 24);
        match proto {
            Some(Proto::Ip) => ip(),
            Some(proto) => arp(proto),
            None if self.link == Link::Labels => ip(),
            None => ip().or(arp(Proto::ARP)).or(arp(Proto::RARP)),
        }
    }

    fn net6(&self, side: Side, address: u128, mask: u128) -> Code {
        let end = |at: u32| {
            (0..4).fold(Code::Always(true), |code, word| {
                let shift = 96 - word * 32;
                let (mask, wanted) = ((mask >> shift) as u32, (address >> shift) as u32);
                if mask == 0 {
                    return code;
                }
                code.and(Code::Masked(self.net + at + word * 4, 4, mask, wanted))
            })
        };
        self.ipv6().and(of_side(side, end(8), end(24)))
    }

    fn hardware(&self, side: Side, address: &[u8; 6]) -> Code {
        if self.link != Link::Ethernet {
            return Code::Always(false);
        }
        let [a, b, c, d, e, f] = *address;
        let end = |at: u32| {
            Code::Masked(at + 2, 4, u32::MAX, u32::from_be_bytes([c, d, e, f]))
                .and(half(at, u16::from_be_bytes([a, b])))
        };
        of_side(side, end(self.start + 6), end(self.start))
    }

    fn ports(&self, transport: Option<u8>, side: Side, from: u32, to: u32) -> Code {
        let is = |at: Value| {
            if from == to {
                return Code::Compare(at.load(2), Relation::Equal, Value::Number(from));
            }
            let low = Code::Compare(at.clone().load(2), Relation::AtLeast, Value::Number(from));
            low.and(Code::Compare(
                at.load(2),
                Relation::AtMost,
                Value::Number(to),
            ))
        };
        let protocols = |at: u32| match transport {
            Some(number) => byte(at, number),
            None => SCTP_TCP_UDP
                .iter()
                .fold(Code::Always(false), |code, number| {
                    code.or(byte(at, *number))
                }),
        };
        let four = |at: u32| Value::HeaderLength(self.net).plus(Value::Number(self.net + at));
        let in_four = self
            .ipv4()
            .and(protocols(self.net + 9))
            .and(self.first_fragment())
            .and(of_side(side, is(four(0)), is(four(2))));
        let six = |at: u32| Value::Number(self.net + 40 + at);
        let in_six =
            self.ipv6()
                .and(protocols(self.net + 6))
                .and(of_side(side, is(six(0)), is(six(2))));
        in_four.or(in_six)
    }

    /// Fragments after the first have no ports.
    const fn first_fragment(&self) -> Code {
        Code::Masked(self.net + 6, 2, 0x1fff, 0)
    }

    fn vlan(&mut self, number: Option<u32>) -> Code {
        if self.link != Link::Ethernet {
            return Code::Always(false);
        }
        let tagged = half(self.kind, 0x8100)
            .or(half(self.kind, 0x88a8))
            .or(half(self.kind, 0x9100));
        let code = match number {
            Some(number) => tagged.and(Code::Masked(self.net, 2, 0x0fff, number)),
            None => tagged,
        };
        self.kind += 4;
        self.net += 4;
        code
    }

    fn mpls(&mut self, label: Option<u32>) -> Code {
        let there = if self.link == Link::Labels {
            // The previous label is not the last.
            Code::Masked(self.net - 2, 1, 1, 0)
        } else {
            self.kind(0x8847)
        };
        let code = match label {
            Some(label) => there.and(Code::Masked(
                self.net,
                4,
                0xffff_f000,
                label.checked_shl(12).unwrap_or(0),
            )),
            None => there,
        };
        self.link = Link::Labels;
        self.net += 4;
        code
    }

    fn pppoe(&mut self, session: Option<u32>) -> Code {
        let there = self.kind(0x8864);
        let code = match session {
            Some(session) => there.and(Code::Masked(self.net, 4, 0xffff, session)),
            None => there,
        };
        self.start = self.net + 6;
        self.kind = self.start;
        self.net = self.start + 2;
        self.link = Link::Ppp;
        code
    }

    /// A value, and the conditions for a packet to have it.
    fn value(&self, arithmetic: &Arithmetic, checks: &mut Code) -> Value {
        match arithmetic {
            Arithmetic::Number(number) => Value::Number(*number),
            Arithmetic::Length => Value::Length,
            Arithmetic::Negated(inner) => {
                let inner = self.value(inner, checks);
                Value::Of(
                    Operator::Subtract,
                    Box::new(Value::Number(0)),
                    Box::new(inner),
                )
            }
            Arithmetic::Of(operator, one, other) => {
                let one = self.value(one, checks);
                // As in libpcap, the protocol of the right side is not checked.
                let other = self.value(other, &mut Code::Always(true));
                Value::Of(*operator, Box::new(one), Box::new(other))
            }
            Arithmetic::Load(proto, at, size) => {
                let at = self.value(at, checks);
                let (check, place) = self.header(*proto);
                let before = std::mem::replace(checks, Code::Always(true));
                *checks = before.and(check);
                place.plus(at).load(*size)
            }
        }
    }

    /// The start of a protocol's header, and the conditions for a packet to have it.
    fn header(&self, proto: Proto) -> (Code, Value) {
        match proto {
            Proto::Link => (Code::Always(true), Value::Number(self.start)),
            Proto::Transport(number, _) if !matches!(number, 50 | 51) => {
                let check = self.in_ipv4(number).and(self.first_fragment());
                let place = Value::HeaderLength(self.net).plus(Value::Number(self.net));
                (check, place)
            }
            Proto::Icmp6 => {
                let check = self.ipv6().and(byte(self.net + 6, 58));
                (check, Value::Number(self.net + 40))
            }
            proto => (self.protocol(proto), Value::Number(self.net)),
        }
    }
}

/// PPP's number of a protocol, by Ethernet's number.
const fn ppp(number: u16) -> u16 {
    match number {
        IPV4 => 0x0021,
        IPV6 => 0x0057,
        0x8847 => 0x0281,
        0x8137 => 0x002b,
        0x809b => 0x0029,
        0x6003 => 0x0027,
        other => other,
    }
}
