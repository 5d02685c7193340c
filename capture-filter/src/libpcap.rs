//! Calls libpcap's compiler on a thread of its own, with a time limit: it resolves names, which takes as
//! long as the resolver takes, and its time grows at least with the square of the expression's length.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use pcap::{Capture, Linktype};

use super::{
    classic::{ClassicInsn, ClassicProgram},
    error::{FilterError, MAX_COMPILE_TIME},
};

/// libpcap's code generator and optimizer recurse; this is many times what they need for the longest
/// expression, and only what is used of it is real.
const STACK_BYTES: usize = 64 << 20;
/// A compilation cannot be stopped: one that takes too long is left behind to end by itself. So many may
/// be left behind at a time.
const MAX_LEFT_BEHIND: usize = 4;

static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);

/// libpcap's message for an expression that the optimizer has found to match nothing.
const REJECTS_ALL: &str = "expression rejects all packets";

/// Compiles an expression, with or without libpcap's optimizer.
pub(super) fn compile(
    expression: &str,
    link_type: Linktype,
    optimize: bool,
) -> Result<ClassicProgram, FilterError> {
    if LEFT_BEHIND.load(Ordering::Relaxed) >= MAX_LEFT_BEHIND {
        return Err(FilterError::Busy(MAX_LEFT_BEHIND));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let owned = expression.to_owned();
    let late = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&late);
    let spawned = thread::Builder::new()
        .name("filter-compile".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let result = call(&owned, link_type, optimize);
            // Nobody listens any more if it took too long.
            let _ = sender.send(result);
            if noticed.swap(true, Ordering::AcqRel) {
                LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
            }
        });
    let thread = spawned.map_err(|error| invalid(error.to_string()))?;
    let Ok(result) = receiver.recv_timeout(MAX_COMPILE_TIME) else {
        // Whichever of the two comes second settles the count.
        LEFT_BEHIND.fetch_add(1, Ordering::Relaxed);
        if late.swap(true, Ordering::AcqRel) {
            LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
        }
        return Err(FilterError::TooSlow);
    };
    // It has nothing left to do; its stack is given back before the next one's is taken.
    let _ = thread.join();
    result
}

const fn invalid(message: String) -> FilterError {
    FilterError::Invalid { message, at: None }
}

fn call(
    expression: &str,
    link_type: Linktype,
    optimize: bool,
) -> Result<ClassicProgram, FilterError> {
    let handle = Capture::dead(link_type).map_err(|error| invalid(error.to_string()))?;
    match handle.compile(expression, optimize) {
        Ok(program) => program
            .get_instructions()
            .iter()
            .map(parse)
            .collect::<Option<_>>()
            .map(ClassicProgram::new)
            .ok_or_else(|| invalid("libpcap's program cannot be read".to_owned())),
        Err(pcap::Error::PcapError(message)) if message == REJECTS_ALL => Err(FilterError::Never),
        Err(pcap::Error::PcapError(message)) => Err(invalid(message)),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// The crate shows an instruction only as text: code, jt, jf and k in decimal.
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
