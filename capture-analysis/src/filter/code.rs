//! The compiled form of an expression for one link type, and its verdict on a packet. As in classic BPF,
//! arithmetic is unsigned with 32 bits, and a packet too short for a load does not match at all.

use super::ast::{Operator, Relation};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(u32),
    /// The packet's length on the wire.
    Length,
    /// This many bytes at a fixed offset.
    At(u32, u8),
    /// This many bytes at a computed offset.
    Behind(Box<Value>, u8),
    /// The length of an IPv4 header at this offset.
    HeaderLength(u32),
    Of(Operator, Box<Value>, Box<Value>),
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    Always(bool),
    And(Box<Code>, Box<Code>),
    Or(Box<Code>, Box<Code>),
    Not(Box<Code>),
    /// Whether this many bytes at an offset, masked, have this value.
    Masked(u32, u8, u32, u32),
    Compare(Value, Relation, Value),
}

/// A packet's bytes and its length on the wire.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) data: &'a [u8],
    pub(super) length: u32,
}

impl Bytes<'_> {
    #[inline]
    fn load(self, at: usize, size: u8) -> Option<u32> {
        let bytes = self.data.get(at..)?;
        Some(match size {
            1 => u32::from(*bytes.first()?),
            2 => u32::from(u16::from_be_bytes(*bytes.first_chunk()?)),
            _ => u32::from_be_bytes(*bytes.first_chunk()?),
        })
    }
}

impl Value {
    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) if one.checked_add(other).is_some() => {
                Self::Number(one.wrapping_add(other))
            }
            (Self::Number(0), other) | (other, Self::Number(0)) => other,
            (one, other) => Self::Of(Operator::Add, Box::new(one), Box::new(other)),
        }
    }

    /// This many bytes at this offset.
    pub(super) fn load(self, size: u8) -> Self {
        match self {
            Self::Number(at) => Self::At(at, size),
            at => Self::Behind(Box::new(at), size),
        }
    }

    /// `None` if the packet is too short, and for a division by zero.
    fn of(&self, packet: Bytes<'_>) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Length => Some(packet.length),
            Self::At(at, size) => packet.load(*at as usize, *size),
            Self::Behind(at, size) => packet.load(at.place(packet)?, *size),
            Self::HeaderLength(at) => Some((packet.load(*at as usize, 1)? & 15) * 4),
            Self::Of(operator, one, other) => {
                let (one, other) = (one.of(packet)?, other.of(packet)?);
                apply(*operator, one, other)
            }
        }
    }

    /// As an offset: the sum of two does not wrap around to the beginning of the packet.
    fn place(&self, packet: Bytes<'_>) -> Option<usize> {
        match self {
            Self::Of(Operator::Add, one, other) => {
                (one.place(packet)?).checked_add(other.place(packet)?)
            }
            value => value.of(packet).map(|value| value as usize),
        }
    }
}

/// `None` for a division by zero.
pub(super) fn apply(operator: Operator, one: u32, other: u32) -> Option<u32> {
    Some(match operator {
        Operator::Add => one.wrapping_add(other),
        Operator::Subtract => one.wrapping_sub(other),
        Operator::Multiply => one.wrapping_mul(other),
        Operator::Divide => one.checked_div(other)?,
        Operator::Remainder => one.checked_rem(other)?,
        Operator::And => one & other,
        Operator::Or => one | other,
        Operator::Xor => one ^ other,
        Operator::ShiftLeft => one.checked_shl(other).unwrap_or(0),
        Operator::ShiftRight => one.checked_shr(other).unwrap_or(0),
    })
}

impl Code {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Always(true), other) => other,
            (Self::Always(false), _) => Self::Always(false),
            (one, Self::Always(true)) => one,
            (one, other) => Self::And(Box::new(one), Box::new(other)),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Always(false), other) => other,
            (Self::Always(true), _) => Self::Always(true),
            (one, Self::Always(false)) => one,
            (one, other) => Self::Or(Box::new(one), Box::new(other)),
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Always(always) => Self::Always(!always),
            code => Self::Not(Box::new(code)),
        }
    }

    /// `None` if the packet is too short to decide.
    pub(super) fn of(&self, packet: Bytes<'_>) -> Option<bool> {
        match self {
            Self::Always(always) => Some(*always),
            Self::And(one, other) => Some(one.of(packet)? && other.of(packet)?),
            Self::Or(one, other) => Some(one.of(packet)? || other.of(packet)?),
            Self::Not(code) => code.of(packet).map(|code| !code),
            Self::Masked(at, size, mask, wanted) => {
                Some(packet.load(*at as usize, *size)? & mask == *wanted)
            }
            Self::Compare(one, relation, other) => {
                let (one, other) = (one.of(packet)?, other.of(packet)?);
                Some(match relation {
                    Relation::Less => one < other,
                    Relation::AtMost => one <= other,
                    Relation::Equal => one == other,
                    Relation::NotEqual => one != other,
                    Relation::AtLeast => one >= other,
                    Relation::Greater => one > other,
                })
            }
        }
    }
}
