//! From an expression to classic BPF, by libpcap.

use pcap::Linktype;

use super::{
    classic::{ClassicProgram, MAX_CLASSIC_INSTRUCTIONS},
    error::{
        FilterError, MAX_EXPRESSION_BYTES, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_TOKENS,
        MAX_UNOPTIMIZED_INSTRUCTIONS,
    },
    error_place,
    libpcap::{self, on_large_stack},
    tokens,
};
use capture_types::LinkType;

/// libpcap's number for a link type (a DLT value, which for some differs from the LINKTYPE).
pub(super) fn dlt(link_type: LinkType) -> Result<Linktype, FilterError> {
    match link_type {
        LinkType::Ethernet => Ok(Linktype::ETHERNET),
        LinkType::Raw => named("RAW"),
    }
}

/// The corresponding link type of captures, if there is one.
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
/// The netmask that `ip broadcast` needs is unknown for a filter on many interfaces; it is taken as
/// 0, as tcpdump does on an interface without an address.
///
/// # Errors
///
/// libpcap's error, or the limit that the expression exceeds.
pub fn compile(expression: &str, link_type: LinkType) -> Result<ClassicProgram, FilterError> {
    let link_type = dlt(link_type)?;
    on_large_stack(|| compile_for(expression, link_type))
}

/// [`compile`] for any link type of libpcap.
pub(super) fn compile_for(
    expression: &str,
    link_type: Linktype,
) -> Result<ClassicProgram, FilterError> {
    check_bounds(expression)?;
    // Without its optimizer libpcap is fast, and the program's length shows how long the optimizer
    // would take.
    let rough = libpcap::compile(expression, link_type, false)?;
    if rough.instructions().len() > MAX_UNOPTIMIZED_INSTRUCTIONS {
        return Err(FilterError::TooManyUnoptimized(rough.instructions().len()));
    }
    let program = libpcap::compile(expression, link_type, true)?;
    if program.instructions().len() > MAX_CLASSIC_INSTRUCTIONS {
        return Err(FilterError::TooManyInstructions(
            program.instructions().len(),
        ));
    }
    super::ir::Fragment::decode(&program)?;
    Ok(program)
}

/// Like [`compile`]; an expression that is valid only for other link types matches nothing.
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

/// The error with its position in the expression, if it can be found.
pub(super) fn located(error: FilterError, expression: &str, link_type: Linktype) -> FilterError {
    match error {
        FilterError::Invalid { message, at: None } => {
            let at = error_place::find(expression, link_type, &message);
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
    let tokens = tokens::tokenize(expression);
    if tokens.len() > MAX_EXPRESSION_TOKENS {
        return Err(FilterError::TooManyTokens(tokens.len()));
    }
    let depth = tokens::depth(&tokens);
    if depth > MAX_EXPRESSION_DEPTH {
        return Err(FilterError::TooDeep(depth));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
