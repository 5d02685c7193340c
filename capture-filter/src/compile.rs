//! From an expression to classic BPF, by libpcap.

use pcap::Linktype;

use super::{
    classic::{ClassicError, ClassicProgram, MAX_CLASSIC_INSTRUCTIONS},
    libpcap::{self, MAX_COMPILE_TIME},
    locate, words,
};
use capture_types::LinkType;

/// Longest expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;
/// Most words and signs of an expression. libpcap's time grows with the square of the expression and
/// worse; a set of addresses belongs into targets, where it costs nothing.
pub const MAX_EXPRESSION_WORDS: usize = 1500;
/// Deepest nesting of parentheses and brackets.
pub const MAX_EXPRESSION_DEPTH: usize = 100;
/// Most instructions of an expression before libpcap has optimized it; its optimizer's time grows
/// with the square of this and worse.
pub const MAX_UNOPTIMIZED_INSTRUCTIONS: usize = 16_000;

/// Why an expression is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// libpcap does not take it.
    #[error("filter expression: {message}{}", position(.at.as_ref()))]
    Invalid {
        /// libpcap's own message.
        message: String,
        /// Where it is wrong, where that could be found out.
        at: Option<Place>,
    },
    /// It can match no packet of any link type.
    #[error("filter expression: no packet can match it (libpcap: expression rejects all packets)")]
    Never,
    /// It has a byte 0 inside.
    #[error("filter expression: it has a byte 0 in it")]
    Zero,
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error(
        "filter expression: {0} bytes long; the most is {MAX_EXPRESSION_BYTES}; give sets of \
         addresses and ports as targets (--host, --port)"
    )]
    TooLong(usize),
    /// More words than [`MAX_EXPRESSION_WORDS`].
    #[error(
        "filter expression: {0} words; the most is {MAX_EXPRESSION_WORDS}; give sets of addresses \
         and ports as targets (--host, --port)"
    )]
    TooManyWords(usize),
    /// Nested deeper than [`MAX_EXPRESSION_DEPTH`].
    #[error("filter expression: {0} parentheses deep; the most is {MAX_EXPRESSION_DEPTH}")]
    TooDeep(usize),
    /// More instructions than [`MAX_UNOPTIMIZED_INSTRUCTIONS`] or [`MAX_CLASSIC_INSTRUCTIONS`].
    #[error(
        "filter expression: {count} instructions {when}; the most is {most}; give sets of addresses \
         and ports as targets (--host, --port)"
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
    /// libpcap made a program of it that cannot run in the kernel.
    #[error("filter expression: {0}")]
    Classic(#[from] ClassicError),
    /// What is said of the packet inside a tunnel is not a filter.
    #[error("inner {0}")]
    Inner(Box<Self>),
    /// A link type that libpcap does not know.
    #[error("link type {0:?}: libpcap does not know it; see pcap-linktype(7) for the names")]
    LinkType(String),
}

/// A place in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The byte where the word begins that cannot stand there; the length of the expression if it
    /// ends too early.
    pub byte: usize,
    /// The word; empty if the expression ends too early.
    pub word: String,
}

fn position(at: Option<&Place>) -> String {
    match at {
        None => String::new(),
        Some(place) if place.word.is_empty() => ", at its end".to_owned(),
        Some(Place { byte, word }) => format!(", at {word:?} (byte {byte})"),
    }
}

/// The link type as libpcap's compiler knows it (a DLT value, which for some is not the LINKTYPE).
pub(super) fn dlt(link_type: LinkType) -> Result<Linktype, FilterError> {
    match link_type {
        LinkType::Ethernet => Ok(Linktype::ETHERNET),
        LinkType::Raw => named("RAW"),
    }
}

/// The link type that captures have, if it is one of those.
pub(super) fn link_type(wanted: Linktype) -> Result<Option<LinkType>, FilterError> {
    for link_type in LinkType::ALL {
        if dlt(link_type)? == wanted {
            return Ok(Some(link_type));
        }
    }
    Ok(None)
}

/// A link type by libpcap's name.
pub(super) fn named(name: &str) -> Result<Linktype, FilterError> {
    Linktype::from_name(name).map_err(|_| FilterError::LinkType(name.to_owned()))
}

/// Compiles an expression for one link type.
///
/// The netmask that `ip broadcast` needs is not known to a filter that serves many interfaces; it is
/// taken as 0, as tcpdump does on an interface without an address.
///
/// # Errors
///
/// What libpcap says, or the bound that the expression exceeds.
pub fn compile(expression: &str, link_type: LinkType) -> Result<ClassicProgram, FilterError> {
    compile_for(expression, dlt(link_type)?)
}

/// [`compile`] for any link type of libpcap.
pub(super) fn compile_for(
    expression: &str,
    link_type: Linktype,
) -> Result<ClassicProgram, FilterError> {
    check_bounds(expression)?;
    // Without its optimizer libpcap is quick to tell how much the optimizer would have to do.
    let rough = libpcap::compile(expression, link_type, false)?;
    if rough.instructions().len() > MAX_UNOPTIMIZED_INSTRUCTIONS {
        return Err(FilterError::TooManyInstructions {
            count: rough.instructions().len(),
            when: "before optimization",
            most: MAX_UNOPTIMIZED_INSTRUCTIONS,
        });
    }
    let program = libpcap::compile(expression, link_type, true)?;
    if program.instructions().len() > MAX_CLASSIC_INSTRUCTIONS {
        return Err(FilterError::TooManyInstructions {
            count: program.instructions().len(),
            when: "of classic BPF",
            most: MAX_CLASSIC_INSTRUCTIONS,
        });
    }
    super::ir::Fragment::decode(&program)?;
    Ok(program)
}

/// [`compile`]; an expression that only other link types have matches nothing.
pub(super) fn compile_or_nothing(
    expression: &str,
    link_type: Linktype,
) -> Result<ClassicProgram, FilterError> {
    let error = match compile_for(expression, link_type) {
        Err(error @ (FilterError::Never | FilterError::Invalid { .. })) => error,
        other => return other,
    };
    for other in LinkType::ALL {
        let other = dlt(other)?;
        if other != link_type && compile_for(expression, other).is_ok() {
            return Ok(ClassicProgram::nothing());
        }
    }
    Err(located(error, expression, dlt(LinkType::Ethernet)?))
}

/// The error with the place in the expression, where it can be found.
pub(super) fn located(error: FilterError, expression: &str, link_type: Linktype) -> FilterError {
    match error {
        FilterError::Invalid { message, at: None } => {
            let at = locate::place(expression, link_type, &message);
            FilterError::Invalid { message, at }
        }
        error => error,
    }
}

fn check_bounds(expression: &str) -> Result<(), FilterError> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(FilterError::TooLong(expression.len()));
    }
    if expression.contains('\0') {
        return Err(FilterError::Zero);
    }
    let words = words::split(expression);
    if words.len() > MAX_EXPRESSION_WORDS {
        return Err(FilterError::TooManyWords(words.len()));
    }
    let depth = words::depth(&words);
    if depth > MAX_EXPRESSION_DEPTH {
        return Err(FilterError::TooDeep(depth));
    }
    Ok(())
}
