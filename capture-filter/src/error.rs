//! Why an expression is refused, and where it is wrong.

use std::time::Duration;

use super::classic::ClassicError;

/// Longest that an expression may take to compile.
pub const MAX_COMPILE_TIME: Duration = Duration::from_secs(30);
/// Longest expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;
/// Most words and operators of an expression. libpcap's compile time grows at least with the square of
/// the expression's length; sets of addresses belong in targets, whose size costs nothing.
pub const MAX_EXPRESSION_TOKENS: usize = 1500;
/// Deepest nesting of parentheses and brackets.
pub const MAX_EXPRESSION_DEPTH: usize = 100;
/// Most instructions of an expression before libpcap's optimizer has run; the optimizer's time grows at
/// least with the square of this number.
pub const MAX_UNOPTIMIZED_INSTRUCTIONS: usize = 16_000;

/// Why an expression cannot be used as a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// libpcap rejects it.
    #[error("filter expression: {message}{}", at_place(.at.as_ref()))]
    Invalid {
        /// libpcap's own message.
        message: String,
        /// The position of the fault, if it could be found.
        at: Option<Place>,
    },
    /// It can match no packet of any link type.
    #[error("filter expression: no packet can match it (libpcap: expression rejects all packets)")]
    Never,
    /// It contains a zero byte.
    #[error("filter expression: it contains a zero byte")]
    Zero,
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error(
        "filter expression: {0} bytes long; the most is {MAX_EXPRESSION_BYTES}; give sets of \
         addresses and ports with --host and --port"
    )]
    TooLong(usize),
    /// More words and operators than [`MAX_EXPRESSION_TOKENS`].
    #[error(
        "filter expression: {0} words and operators; the most is {MAX_EXPRESSION_TOKENS}; give sets of addresses \
         and ports with --host and --port"
    )]
    TooManyTokens(usize),
    /// Nested deeper than [`MAX_EXPRESSION_DEPTH`].
    #[error("filter expression: {0} parentheses deep; the most is {MAX_EXPRESSION_DEPTH}")]
    TooDeep(usize),
    /// More instructions than [`MAX_UNOPTIMIZED_INSTRUCTIONS`] or
    /// [`MAX_CLASSIC_INSTRUCTIONS`](crate::classic::MAX_CLASSIC_INSTRUCTIONS).
    #[error(
        "filter expression: {count} instructions {when}; the most is {most}; give sets of addresses \
         and ports with --host and --port"
    )]
    TooManyInstructions {
        /// How many it has.
        count: usize,
        /// Before or after libpcap's optimizer.
        when: &'static str,
        /// How many it may have.
        most: usize,
    },
    /// libpcap took longer than [`MAX_COMPILE_TIME`].
    #[error(
        "filter expression: libpcap took longer than {} s, the most it may; give addresses instead of \
         names, and sets of addresses and ports as targets (--host, --port)",
        MAX_COMPILE_TIME.as_secs()
    )]
    TooSlow,
    /// Expressions that took too long are still being compiled.
    #[error(
        "filter expression: {0} expressions before it are still being compiled; try again later"
    )]
    Busy(usize),
    /// libpcap's program for it cannot run in the kernel.
    #[error("filter expression: {0}")]
    Classic(#[from] ClassicError),
    /// The expression about the packet inside a tunnel is wrong.
    #[error("inner {0}")]
    Inner(Box<Self>),
    /// A link type that libpcap does not know.
    #[error("link type {0:?}: libpcap does not know it; see pcap-linktype(7) for the names")]
    LinkType(String),
}

/// A place in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Offset of the first word that is out of place; the length of the expression if it ends too early.
    pub byte: usize,
    /// That word or operator; empty if the expression ends too early.
    pub token: String,
}

fn at_place(at: Option<&Place>) -> String {
    match at {
        None => String::new(),
        Some(place) if place.token.is_empty() => ", at its end".to_owned(),
        Some(Place { byte, token }) => format!(", at {token:?} (byte {byte})"),
    }
}
