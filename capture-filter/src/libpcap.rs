//! Calls libpcap's compiler on the calling thread, without a time limit. `compiler` adds one.

use std::{panic, thread};

use pcap::{Capture, Linktype};

use super::{
    classic::{ClassicInsn, ClassicProgram},
    error::FilterError,
};

/// libpcap's code generator and optimizer recurse; this is many times what they need for the longest
/// expression, and only the part in use is backed by memory.
const STACK_BYTES: usize = 64 << 20;

/// libpcap's error when the optimizer finds that an expression matches nothing.
const REJECTS_ALL: &str = "expression rejects all packets";

/// Runs `work` on a thread whose stack is large enough for libpcap.
pub(super) fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, FilterError> + Send,
) -> Result<T, FilterError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("filter-compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| FilterError::Compiler(error.to_string()))?;
        thread
            .join()
            .unwrap_or_else(|cause| panic::resume_unwind(cause))
    })
}

/// Compiles an expression, with or without libpcap's optimizer.
pub(super) fn compile(
    expression: &str,
    link_type: Linktype,
    optimize: bool,
) -> Result<ClassicProgram, FilterError> {
    let handle = Capture::dead(link_type).map_err(|error| FilterError::invalid(&error))?;
    match handle.compile(expression, optimize) {
        Ok(program) => program
            .get_instructions()
            .iter()
            .map(parse)
            .collect::<Option<_>>()
            .map(ClassicProgram::new)
            .ok_or_else(|| FilterError::invalid(&"libpcap's program cannot be read")),
        Err(pcap::Error::PcapError(message)) if message == REJECTS_ALL => Err(FilterError::Never),
        Err(pcap::Error::PcapError(message)) => Err(FilterError::invalid(&message)),
        Err(error) => Err(FilterError::invalid(&error)),
    }
}

/// The crate gives access to an instruction only as text: code, jt, jf and k in decimal.
fn parse(insn: &pcap::BpfInstruction) -> Option<ClassicInsn> {
    let text = insn.to_string();
    let mut numbers = text.split(' ');
    let mut next = || numbers.next()?.parse::<u32>().ok();
    Some(ClassicInsn {
        code: u16::try_from(next()?).ok()?,
        jt: u8::try_from(next()?).ok()?,
        jf: u8::try_from(next()?).ok()?,
        k: next()?,
    })
}
