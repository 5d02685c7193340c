//! Selects the packets to analyse: expressions in the language of pcap-filter(7), with tcpdump's verdicts
//! on packets of a file. This does not use libpcap, because reports are also made where it is not
//! installed; a test compares every kind of primitive with tcpdump.

mod arithmetic;
mod ast;
mod code;
mod compile;
mod identifier;
mod names;
mod parse;
mod parser;
#[cfg(test)]
mod tests;
mod tokens;

use crate::packet::Packet;
use ast::Ast;
use code::{Bytes, Code};

/// An expression cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// An unknown or misplaced word.
    #[error("{word:?} is not understood there; pcap-filter(7) has the language")]
    Word {
        /// The word.
        word: String,
    },
    /// A primitive of pcap-filter that does not apply to packets in files, or is not supported.
    #[error("{word:?} is not supported on files here")]
    NotHere {
        /// The word.
        word: String,
    },
    /// Something is missing at the end.
    #[error("it ends where {expected} should stand")]
    End {
        /// What is missing.
        expected: &'static str,
    },
    /// A value is invalid.
    #[error("{value:?} is no {expected}")]
    Value {
        /// The value.
        value: String,
        /// What is valid.
        expected: &'static str,
    },
    /// It is too long.
    #[error("it has more than {0} words and operators")]
    TooLong(usize),
    /// It is nested too deep.
    #[error("it is nested deeper than {0} levels")]
    TooDeep(usize),
}

/// A filter of packets.
#[derive(Debug, Clone)]
pub struct Filter {
    /// `None` for the empty expression, which every packet matches.
    ast: Option<Ast>,
    /// The compiled forms for the link types seen so far.
    codes: Vec<(u16, Code)>,
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// It cannot be parsed; the message names the part.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self {
            ast: parse::parse(text)?,
            codes: Vec::new(),
        })
    }

    /// Whether a packet matches.
    pub fn matches(&mut self, packet: &Packet<'_>) -> bool {
        let Some(ast) = &self.ast else {
            return true;
        };
        let known = self
            .codes
            .iter()
            .position(|(link_type, _)| *link_type == packet.link_type);
        let at = known.unwrap_or_else(|| {
            self.codes
                .push((packet.link_type, compile::compile(ast, packet.link_type)));
            self.codes.len() - 1
        });
        let bytes = Bytes {
            data: packet.data,
            length: packet.original_length,
        };
        self.codes[at].1.of(bytes) == Some(true)
    }
}
