//! From tokens to an expression: the grammar of pcap-filter(7).

use super::{
    FilterError,
    arithmetic::relation_of,
    ast::{Arithmetic, Ast, Kind, Primitive, Proto, Qualifiers, Relation, Side},
    names,
    parser::Parser,
    tokens::{Token, tokens},
};

/// Words of pcap-filter that do not apply to packets in files, or are not supported here.
const NOT_HERE: [&str; 22] = [
    "gateway",
    "protochain",
    "inbound",
    "outbound",
    "ifindex",
    "ifname",
    "on",
    "rnr",
    "rulenum",
    "reason",
    "rset",
    "ruleset",
    "srnr",
    "subrulenum",
    "action",
    "geneve",
    "vxlan",
    "llc",
    "isis",
    "clnp",
    "esis",
    "type",
];

pub(super) fn parse(text: &str) -> Result<Option<Ast>, FilterError> {
    let mut parser = Parser::new(tokens(text)?);
    if parser.tokens.is_empty() {
        return Ok(None);
    }
    let whole = parser.expression()?;
    match parser.peek() {
        None => Ok(Some(whole)),
        Some(token) => Err(FilterError::Word {
            word: token.to_string(),
        }),
    }
}

impl Parser {
    /// `and` and `or` have the same precedence, from left to right.
    fn expression(&mut self) -> Result<Ast, FilterError> {
        let mut left = self.term()?;
        loop {
            let join = if self.take("and") {
                Ast::And
            } else if self.take("or") {
                Ast::Or
            } else {
                return Ok(left);
            };
            let right = match self.last {
                Some(qualifiers) if self.is_identifier() => self.identifier(qualifiers)?,
                _ => self.term()?,
            };
            left = join(Box::new(left), Box::new(right));
        }
    }

    /// Whether the next token is an identifier without words, not a term.
    fn is_identifier(&self) -> bool {
        let mut at = self.at;
        while matches!(self.tokens.get(at), Some(Token::Sign("(" | "!")))
            || matches!(self.tokens.get(at), Some(Token::Word(word)) if word == "not")
        {
            at += 1;
        }
        match self.tokens.get(at) {
            Some(Token::Word(word)) => !is_keyword(word),
            Some(Token::Sign(_)) | None => false,
            Some(_) => {
                !matches!(self.tokens.get(at + 1), Some(Token::Sign(sign)) if is_operator(sign))
            }
        }
    }

    fn term(&mut self) -> Result<Ast, FilterError> {
        if self.take("not") {
            return self.deeper(Self::term).map(|term| Ast::Not(Box::new(term)));
        }
        let start = self.at;
        if self.begins_arithmetic() {
            match self.relation() {
                Ok(relation) => {
                    self.last = None;
                    return Ok(Ast::Is(relation));
                }
                // A parenthesis may also contain an expression.
                Err(error) if !matches!(self.tokens.get(start), Some(Token::Sign("("))) => {
                    return Err(error);
                }
                Err(_) => self.at = start,
            }
        }
        if self.take_sign("(") {
            let inner = self.deeper(Self::expression)?;
            self.must(")")?;
            return Ok(inner);
        }
        self.primitive()
    }

    fn begins_arithmetic(&self) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Sign("(" | "-")) => true,
            Some(Token::Word(word)) => {
                word == "len"
                    || names::constant(word).is_some()
                    || matches!(self.tokens.get(self.at + 1), Some(Token::Sign("[")))
            }
            _ => false,
        }
    }

    fn relation(&mut self) -> Result<Primitive, FilterError> {
        let one = self.deeper(Self::arithmetic)?;
        let relation = match self.peek() {
            Some(Token::Sign(sign)) => relation_of(sign),
            _ => None,
        };
        let Some(relation) = relation else {
            return match self.peek() {
                Some(token) => Err(FilterError::Word {
                    word: token.to_string(),
                }),
                None => Err(FilterError::End {
                    expected: "a comparison",
                }),
            };
        };
        self.at += 1;
        let other = self.deeper(Self::arithmetic)?;
        Ok(Primitive::Relation(one, relation, other))
    }

    fn primitive(&mut self) -> Result<Ast, FilterError> {
        self.last = None;
        let word = match self.word(0) {
            Some(word) => word.to_owned(),
            None => {
                let token = self.next("a primitive")?;
                return Err(FilterError::Word {
                    word: token.to_string(),
                });
            }
        };
        if NOT_HERE.contains(&word.as_str()) {
            return Err(FilterError::NotHere { word });
        }
        let simple = match word.as_str() {
            "broadcast" => Some(Primitive::Broadcast),
            "multicast" => Some(Primitive::Multicast(None)),
            "vlan" => Some(Primitive::Vlan(self.number_behind())),
            "mpls" => Some(Primitive::Mpls(self.number_behind())),
            "pppoed" => Some(Primitive::EtherType(0x8863)),
            "pppoes" => Some(Primitive::PppoeSession(self.number_behind())),
            "less" | "greater" => {
                self.at += 1;
                let length = self.number("a length")?;
                self.at -= 1;
                let relation = if word == "less" {
                    Relation::AtMost
                } else {
                    Relation::AtLeast
                };
                Some(Primitive::Relation(
                    Arithmetic::Length,
                    relation,
                    Arithmetic::Number(length),
                ))
            }
            _ => None,
        };
        if let Some(simple) = simple {
            self.at += 1;
            return Ok(Ast::Is(simple));
        }
        self.qualified(&word)
    }

    /// A number that may follow a word; the word has not been consumed.
    fn number_behind(&mut self) -> Option<u32> {
        let Some(Token::Number(number)) = self.tokens.get(self.at + 1) else {
            return None;
        };
        let number = *number;
        self.at += 1;
        Some(number)
    }

    /// Words for protocol, direction and kind, and an identifier; or only a protocol.
    fn qualified(&mut self, word: &str) -> Result<Ast, FilterError> {
        let proto = Proto::named(word);
        self.at += usize::from(proto.is_some());
        let side = self.side();
        let kind = match self.word(0) {
            Some("host") => Some(Kind::Host),
            Some("net") => Some(Kind::Net),
            Some("port") => Some(Kind::Port),
            Some("portrange") => Some(Kind::PortRange),
            Some("proto") => Some(Kind::Proto),
            Some("broadcast" | "multicast") if side.is_none() => {
                return self.cast(proto);
            }
            Some(other) if NOT_HERE.contains(&other) => {
                return Err(FilterError::NotHere {
                    word: other.to_owned(),
                });
            }
            _ => None,
        };
        self.at += usize::from(kind.is_some());
        if side.is_none() && kind.is_none() {
            return match proto {
                Some(Proto::Link) | None => Err(FilterError::Word {
                    word: word.to_owned(),
                }),
                Some(proto) => Ok(Ast::Is(Primitive::Protocol(proto))),
            };
        }
        let qualifiers = Qualifiers {
            proto,
            side: side.unwrap_or(Side::Either),
            kind: kind.unwrap_or(Kind::Host),
        };
        self.last = Some(qualifiers);
        self.identifier(qualifiers)
    }

    fn cast(&mut self, proto: Option<Proto>) -> Result<Ast, FilterError> {
        let word = self.next("a primitive")?.to_string();
        match (word.as_str(), proto) {
            ("broadcast", Some(Proto::Link)) => Ok(Ast::Is(Primitive::Broadcast)),
            ("multicast", Some(Proto::Link)) => Ok(Ast::Is(Primitive::Multicast(None))),
            ("multicast", Some(Proto::Ip)) => Ok(Ast::Is(Primitive::Multicast(Some(false)))),
            ("multicast", Some(Proto::Ip6)) => Ok(Ast::Is(Primitive::Multicast(Some(true)))),
            // It needs the interface's netmask.
            _ => Err(FilterError::NotHere {
                word: format!("{word} behind a protocol"),
            }),
        }
    }

    fn side(&mut self) -> Option<Side> {
        let first = match self.word(0) {
            Some("src") => Side::Source,
            Some("dst") => Side::Destination,
            _ => return None,
        };
        let both = match (first, self.word(1), self.word(2)) {
            (Side::Source, Some(join), Some("dst"))
            | (Side::Destination, Some(join), Some("src")) => match join {
                "or" => Some(Side::Either),
                "and" => Some(Side::Both),
                _ => None,
            },
            _ => None,
        };
        self.at += if both.is_some() { 3 } else { 1 };
        Some(both.unwrap_or(first))
    }
}

fn is_operator(sign: &str) -> bool {
    relation_of(sign).is_some()
        || matches!(
            sign,
            "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>"
        )
}

fn is_keyword(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "src",
        "dst",
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "broadcast",
        "multicast",
        "less",
        "greater",
        "len",
        "vlan",
        "mpls",
        "pppoed",
        "pppoes",
        "not",
    ];
    WORDS.contains(&word)
        || Proto::named(word).is_some()
        || names::constant(word).is_some()
        || NOT_HERE.contains(&word)
}
