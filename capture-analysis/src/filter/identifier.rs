//! Identifiers: addresses, networks, ports and protocols, depending on the words before them.

use super::{
    FilterError,
    ast::{Ast, Kind, Primitive, Proto, Qualifiers},
    names,
    parser::Parser,
    tokens::Token,
};

impl Parser {
    pub(super) fn identifier(&mut self, qualifiers: Qualifiers) -> Result<Ast, FilterError> {
        if self.take("not") {
            let inner = self.deeper(|parser| parser.identifier(qualifiers))?;
            return Ok(Ast::Not(Box::new(inner)));
        }
        if self.take_sign("(") {
            let inner = self.deeper(|parser| {
                let mut left = parser.identifier(qualifiers)?;
                loop {
                    let join = if parser.take("and") {
                        Ast::And
                    } else if parser.take("or") {
                        Ast::Or
                    } else {
                        return Ok(left);
                    };
                    left = join(Box::new(left), Box::new(parser.identifier(qualifiers)?));
                }
            })?;
            self.must(")")?;
            return Ok(inner);
        }
        match qualifiers.kind {
            Kind::Host | Kind::Net => self.address(qualifiers),
            Kind::Port => {
                let (port, transport) = self.port(qualifiers.proto)?;
                Ok(Ast::Is(Primitive::Ports(
                    transport,
                    qualifiers.side,
                    port,
                    port,
                )))
            }
            Kind::PortRange => self.range(qualifiers),
            Kind::Proto => self.protocol(qualifiers),
        }
    }

    fn address(&mut self, qualifiers: Qualifiers) -> Result<Ast, FilterError> {
        let Qualifiers { proto, side, kind } = qualifiers;
        let token = self.next("an address")?;
        let wrong = |value: &Token, expected| FilterError::Value {
            value: value.to_string(),
            expected,
        };
        if let Token::Hardware(address) = token {
            return match (proto, kind) {
                (Some(Proto::Link), Kind::Host) => Ok(Ast::Is(Primitive::Ether(side, address))),
                _ => Err(wrong(
                    &token,
                    "IP address; hardware addresses stand behind `ether`",
                )),
            };
        }
        if proto == Some(Proto::Link) {
            return Err(wrong(&token, "hardware address, such as 02:00:00:00:00:01"));
        }
        let carries = match proto {
            None | Some(Proto::Ip | Proto::Ip6 | Proto::ARP | Proto::RARP) => true,
            Some(_) => false,
        };
        if !carries {
            return Err(wrong(
                &token,
                "address of the protocol before it: leave the protocol out, or say `ip`",
            ));
        }
        let (value, bits) = match token {
            Token::Six(address) => return self.six(qualifiers, address.to_bits()),
            // A single number: 10 is 10.0.0.0/8 for networks.
            Token::Number(number) => (number, 32),
            Token::Dotted(value, bits) => (value, bits),
            other => {
                return Err(wrong(&other, "IP address (names are not looked up)"));
            }
        };
        if proto == Some(Proto::Ip6) {
            return Err(wrong(&token, "IPv6 address"));
        }
        let whole = value.checked_shl(32 - bits).unwrap_or(0);
        let mut mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let mut address = whole;
        if kind == Kind::Net {
            if self.take_sign("/") {
                let length = self.number("the length of a prefix")?;
                mask = prefix(length, 32).map_or_else(
                    || Err(wrong(&Token::Number(length), "length of a prefix")),
                    |mask| Ok((mask >> 96) as u32),
                )?;
            } else if self.take("mask") {
                mask = match self.next("a mask")? {
                    Token::Dotted(value, bits) => value.checked_shl(32 - bits).unwrap_or(0),
                    other => return Err(wrong(&other, "mask")),
                };
            } else {
                // Leading zeros are not part of a network: 10.0 is 10.0.0.0/16.
                (address, mask) = (value, u32::MAX);
                while address != 0 && address & 0xff00_0000 == 0 {
                    (address, mask) = (address << 8, mask << 8);
                }
            }
            if address & !mask != 0 {
                return Err(wrong(&token, "network: bits are set behind its prefix"));
            }
        } else if matches!(self.peek(), Some(Token::Sign("/"))) {
            return Err(wrong(&token, "host: a prefix stands behind `net`"));
        }
        Ok(Ast::Is(Primitive::Net4(proto, side, address, mask)))
    }

    fn six(&mut self, qualifiers: Qualifiers, address: u128) -> Result<Ast, FilterError> {
        let Qualifiers { proto, side, kind } = qualifiers;
        let wrong = |value: String, expected| FilterError::Value { value, expected };
        if !matches!(proto, None | Some(Proto::Ip6)) {
            return Err(wrong(format!("{address:x}"), "IPv4 address"));
        }
        let mut mask = u128::MAX;
        if self.take_sign("/") {
            if kind != Kind::Net {
                return Err(wrong("/".to_owned(), "host: a prefix stands behind `net`"));
            }
            let length = self.number("the length of a prefix")?;
            mask = prefix(length, 128)
                .ok_or_else(|| wrong(length.to_string(), "length of a prefix"))?;
        }
        if address & !mask != 0 {
            return Err(wrong(
                std::net::Ipv6Addr::from(address).to_string(),
                "network: bits are set behind its prefix",
            ));
        }
        Ok(Ast::Is(Primitive::Net6(side, address, mask)))
    }

    fn port(&mut self, proto: Option<Proto>) -> Result<(u16, Option<u8>), FilterError> {
        let asked = transport_with_ports(proto)?;
        let token = self.next("a port")?;
        let wrong = || FilterError::Value {
            value: token.to_string(),
            expected: "port",
        };
        match &token {
            Token::Number(number) => u16::try_from(*number)
                .map(|port| (port, asked))
                .map_err(|_| wrong()),
            Token::Word(name) | Token::Escaped(name) => {
                let (port, only) = names::service(name).ok_or_else(wrong)?;
                if asked.is_some() && only.is_some() && asked != only {
                    return Err(wrong());
                }
                Ok((port, asked.or(only)))
            }
            _ => Err(wrong()),
        }
    }

    fn range(&mut self, qualifiers: Qualifiers) -> Result<Ast, FilterError> {
        let asked = transport_with_ports(qualifiers.proto)?;
        let token = self.next("a range of ports")?;
        let text = token.to_string();
        let wrong = || FilterError::Value {
            value: text.clone(),
            expected: "range of ports, such as 8000-8080",
        };
        let ends = match text.split_once('-') {
            Some((from, to)) => from.parse::<u16>().ok().zip(to.parse::<u16>().ok()),
            None => text.parse::<u16>().ok().map(|port| (port, port)),
        };
        let (from, to) = ends.ok_or_else(wrong)?;
        Ok(Ast::Is(Primitive::Ports(
            asked,
            qualifiers.side,
            from.min(to),
            from.max(to),
        )))
    }

    fn protocol(&mut self, qualifiers: Qualifiers) -> Result<Ast, FilterError> {
        let token = self.next("a protocol")?;
        let wrong = || FilterError::Value {
            value: token.to_string(),
            expected: "protocol: a number, or a name with a backslash before it",
        };
        let by_name = |of: fn(&str) -> Option<u32>| match &token {
            Token::Number(number) => Some(*number),
            Token::Word(name) | Token::Escaped(name) => of(name),
            _ => None,
        };
        let carried = || {
            by_name(|name| names::transport(name).map(u32::from))
                .and_then(|number| u8::try_from(number).ok())
                .ok_or_else(wrong)
        };
        Ok(Ast::Is(match qualifiers.proto {
            Some(Proto::Link) => {
                let number = by_name(names::ether_type).filter(|number| *number <= 0xffff);
                Primitive::EtherType(number.ok_or_else(wrong)?)
            }
            Some(Proto::Ip) => Primitive::Carries(Some(false), carried()?),
            Some(Proto::Ip6) => Primitive::Carries(Some(true), carried()?),
            None => Primitive::Carries(None, carried()?),
            Some(_) => return Err(wrong()),
        }))
    }
}

fn transport_with_ports(proto: Option<Proto>) -> Result<Option<u8>, FilterError> {
    match proto {
        None => Ok(None),
        Some(Proto::Transport(number @ (Proto::TCP | Proto::UDP | Proto::SCTP), _)) => {
            Ok(Some(number))
        }
        Some(_) => Err(FilterError::Value {
            value: "port".to_owned(),
            expected: "word behind a protocol without ports",
        }),
    }
}

/// A mask of this many leading bits.
fn prefix(length: u32, most: u32) -> Option<u128> {
    (length <= most).then(|| u128::MAX.checked_shl(128 - length).unwrap_or(0))
}
