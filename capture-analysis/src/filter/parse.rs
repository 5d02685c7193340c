//! From text to an expression.

use std::net::IpAddr;

use super::{Expression, FilterError, Side};

const MOST_WORDS: usize = 1_000;
const DEEPEST: usize = 50;

struct Words {
    words: Vec<String>,
    at: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut words = Vec::new();
    let mut spaced = text.replace('(', " ( ").replace(')', " ) ");
    spaced = spaced
        .replace("&&", " and ")
        .replace("||", " or ")
        .replace('!', " not ");
    for word in spaced.split_whitespace() {
        words.push(word.to_owned());
        if words.len() > MOST_WORDS {
            return Err(FilterError::TooLong(MOST_WORDS));
        }
    }
    let mut words = Words {
        words,
        at: 0,
        depth: 0,
    };
    let expression = words.either()?;
    match words.next() {
        None => Ok(expression),
        Some(word) => Err(FilterError::Word { word }),
    }
}

impl Words {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        if there {
            self.at += 1;
        }
        there
    }

    /// `and` and `or` bind alike, from left to right, as pcap-filter has it.
    fn either(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(FilterError::TooLong(MOST_WORDS));
        }
        let mut left = self.one()?;
        loop {
            if self.take("and") {
                left = Expression::And(Box::new(left), Box::new(self.one()?));
            } else if self.take("or") {
                left = Expression::Or(Box::new(left), Box::new(self.one()?));
            } else {
                self.depth -= 1;
                return Ok(left);
            }
        }
    }

    fn one(&mut self) -> Result<Expression, FilterError> {
        let mut negative = false;
        while self.take("not") {
            negative = !negative;
        }
        let inner = if self.take("(") {
            let inner = self.either()?;
            if !self.take(")") {
                return Err(FilterError::End { expected: "')'" });
            }
            inner
        } else {
            self.primitive()?
        };
        Ok(if negative {
            Expression::Not(Box::new(inner))
        } else {
            inner
        })
    }

    fn primitive(&mut self) -> Result<Expression, FilterError> {
        let transport = match self.peek() {
            Some("tcp") => Some(6),
            Some("udp") => Some(17),
            _ => None,
        };
        if transport.is_some() {
            self.at += 1;
            if !matches!(self.peek(), Some("src" | "dst" | "port" | "portrange")) {
                return Ok(Expression::Transport(transport.unwrap_or_default()));
            }
        }
        let side = if self.take("src") {
            Side::Source
        } else if self.take("dst") {
            Side::Destination
        } else {
            Side::Either
        };
        let word = self.next().ok_or(FilterError::End {
            expected: "a primitive",
        })?;
        match word.as_str() {
            "port" => {
                let value = self.value("a port")?;
                let port = number(&value, "port")?;
                Ok(Expression::Ports(side, transport, port, port))
            }
            "portrange" => {
                let value = self.value("a range of ports")?;
                let (from, to) = value.split_once('-').ok_or_else(|| FilterError::Value {
                    value: value.clone(),
                    expected: "range of ports, such as 8000-8080",
                })?;
                let (from, to) = (number(from, "port")?, number(to, "port")?);
                Ok(Expression::Ports(side, transport, from, to))
            }
            "host" => {
                let value = self.value("an address")?;
                let address = address(&value)?;
                Ok(Expression::Net(side, address, 128))
            }
            "net" => {
                let value = self.value("a network")?;
                let (start, bits) = value.split_once('/').unwrap_or((&value, "128"));
                Ok(Expression::Net(
                    side,
                    address(start)?,
                    number(bits, "length of a prefix")?,
                ))
            }
            _ if side != Side::Either => Ok(Expression::Net(side, address(&word)?, 128)),
            "ip" => Ok(Expression::IpVersion(false)),
            "ip6" => Ok(Expression::IpVersion(true)),
            "icmp" => Ok(Expression::Transport(1)),
            "icmp6" => Ok(Expression::Transport(58)),
            "sctp" => Ok(Expression::Transport(132)),
            "arp" => Ok(Expression::Arp),
            "vlan" => Ok(Expression::Vlan),
            "less" => Ok(Expression::Less(number(
                &self.value("a length")?,
                "length",
            )?)),
            "greater" => Ok(Expression::Greater(number(
                &self.value("a length")?,
                "length",
            )?)),
            _ => Err(FilterError::Word { word }),
        }
    }

    fn value(&mut self, expected: &'static str) -> Result<String, FilterError> {
        self.next().ok_or(FilterError::End { expected })
    }
}

fn number<T: std::str::FromStr>(text: &str, expected: &'static str) -> Result<T, FilterError> {
    text.parse().map_err(|_| FilterError::Value {
        value: text.to_owned(),
        expected,
    })
}

fn address(text: &str) -> Result<IpAddr, FilterError> {
    text.parse().map_err(|_| FilterError::Value {
        value: text.to_owned(),
        expected: "IP address (names are not looked up)",
    })
}
