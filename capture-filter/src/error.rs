//! Why an expression is rejected, and where it is wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::classic::ClassicError;

/// Time limit for compiling an expression.
pub const MAX_COMPILE_TIME: Duration = Duration::from_secs(10);
/// Limit of the address space of the compiling process.
pub const MAX_COMPILE_MEMORY: u64 = 512 << 20;
/// Maximum host names of an expression.
pub const MAX_NAMES: usize = 16;
/// Maximum tunnels that are searched for an inner packet.
pub const MAX_TUNNELS: usize = 16;
/// Maximum length of an expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;
/// Maximum words and operators of an expression. libpcap's compile time grows at least with the square
/// of the expression's length; sets of addresses belong in targets, whose size costs nothing.
pub const MAX_EXPRESSION_TOKENS: usize = 1500;
/// Maximum nesting of parentheses and brackets.
pub const MAX_EXPRESSION_DEPTH: usize = 100;
/// Maximum instructions of an expression before libpcap's optimizer has run; the optimizer's time grows
/// at least with the square of this number.
pub const MAX_UNOPTIMIZED_INSTRUCTIONS: usize = 8_000;

/// Why an expression cannot be used as a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
         addresses and ports with --host, --port, --not-host and --not-port"
    )]
    TooLong(usize),
    /// More words and operators than [`MAX_EXPRESSION_TOKENS`].
    #[error(
        "filter expression: {0} words and operators; the most is {MAX_EXPRESSION_TOKENS}; give sets of addresses \
         and ports with --host, --port, --not-host and --not-port"
    )]
    TooManyTokens(usize),
    /// Nested deeper than [`MAX_EXPRESSION_DEPTH`].
    #[error("filter expression: {0} parentheses deep; the most is {MAX_EXPRESSION_DEPTH}")]
    TooDeep(usize),
    /// More instructions than [`MAX_UNOPTIMIZED_INSTRUCTIONS`].
    #[error(
        "filter expression: {0} instructions before optimization; the most is \
         {MAX_UNOPTIMIZED_INSTRUCTIONS}; give sets of addresses and ports with --host, --port, \
         --not-host and --not-port"
    )]
    TooManyUnoptimized(usize),
    /// More instructions than [`MAX_CLASSIC_INSTRUCTIONS`](crate::classic::MAX_CLASSIC_INSTRUCTIONS).
    #[error(
        "filter expression: {0} instructions of classic BPF; the most is {max}; give sets of \
         addresses and ports with --host, --port, --not-host and --not-port",
        max = crate::classic::MAX_CLASSIC_INSTRUCTIONS
    )]
    TooManyInstructions(usize),
    /// The compiler exceeded its time limit.
    #[error(
        "filter expression: compiling it took longer than {} s, the most it may; give sets of \
         addresses and ports with --host, --port, --not-host and --not-port",
        MAX_COMPILE_TIME.as_secs()
    )]
    TooSlow,
    /// The compiler exceeded its memory limit.
    #[error("filter expression: compiling it took more than {} MiB of memory, the most it may", MAX_COMPILE_MEMORY >> 20)]
    TooMuchMemory,
    /// The compiling process could not be started or did not answer.
    #[error("the filter compiler failed: {0}")]
    Compiler(String),
    /// A host name, where names are not resolved.
    #[error(
        "filter expression: the host name {:?} (byte {}) is not resolved here; give its address{}",
        .0.token, .0.byte,
        "; names are resolved only where the setting filter.resolve_names is true"
    )]
    HostName(Place),
    /// A host name that could not be resolved.
    #[error(
        "filter expression: the host name {name:?} (byte {byte}) was not resolved: {reason}; give its address"
    )]
    Unresolved {
        /// The name.
        name: String,
        /// Its offset in the expression.
        byte: usize,
        /// Why not.
        reason: String,
    },
    /// More host names than [`MAX_NAMES`].
    #[error("filter expression: more than {MAX_NAMES} host names; give addresses")]
    TooManyNames,
    /// More tunnels than [`MAX_TUNNELS`].
    #[error("{0} tunnels; the most is {MAX_TUNNELS}")]
    TooManyTunnels(usize),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Offset of the first misplaced word; the length of the expression if it ends too early.
    pub byte: usize,
    /// That word or operator; empty if the expression ends too early.
    pub token: String,
}

/// Maximum length of a client's text in an error.
const MAX_QUOTED: usize = 120;

impl FilterError {
    /// An error with libpcap's message, which may quote a word of any length.
    pub(super) fn invalid(message: &impl ToString) -> Self {
        Self::Invalid {
            message: cut(&message.to_string()),
            at: None,
        }
    }
}

impl Place {
    pub(super) fn new(byte: usize, token: &str) -> Self {
        Self {
            byte,
            token: cut(token),
        }
    }
}

/// The text, truncated with a mark if it is too long.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn at_place(at: Option<&Place>) -> String {
    match at {
        None => String::new(),
        Some(place) if place.token.is_empty() => ", at its end".to_owned(),
        Some(Place { byte, token }) => format!(", at {token:?} (byte {byte})"),
    }
}
