//! Runs a loaded program on a packet given as bytes: `BPF_PROG_TEST_RUN`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::syscall::{bpf, zeroed};

/// Minimum length that the kernel accepts: an Ethernet header (`bpf_test_init` in
/// net/bpf/test_run.c).
pub const SHORTEST: usize = 14;
/// Maximum length: a page without headroom and `struct skb_shared_info`, rounded down so that every
/// kernel accepts it.
pub const LONGEST: usize = 3520;

/// Bytes of `struct __sk_buff` passed to the kernel: up to and including `hwtstamp`.
const CONTEXT_BYTES: usize = 192;
const MARK: usize = 8;
const DATA_END: usize = 80;

/// The result of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestRun {
    /// The program's return value.
    pub result: u32,
    /// Mean time of one run in nanoseconds.
    pub nanoseconds: u32,
}

/// A packet with its metadata.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestPacket<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// How many of them are in the linear part (6.19); all of them if `None`.
    pub linear: Option<u32>,
    /// `skb->mark`.
    pub mark: u32,
}

/// Runs a classifier on a packet, `repeat` times (at least once).
///
/// # Errors
///
/// The kernel's error: `EINVAL` for a packet shorter than [`SHORTEST`] or too long ([`LONGEST`] is
/// always accepted), `EPERM` without CAP_NET_ADMIN and CAP_BPF.
pub fn test_run(
    program: BorrowedFd<'_>,
    packet: TestPacket<'_>,
    repeat: u32,
) -> io::Result<TestRun> {
    let mut context = [0_u8; CONTEXT_BYTES];
    context[MARK..MARK + 4].copy_from_slice(&packet.mark.to_ne_bytes());
    if let Some(linear) = packet.linear {
        context[DATA_END..DATA_END + 4].copy_from_slice(&linear.to_ne_bytes());
    }
    let mut attr: bpf_attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.test.data_in = packet.bytes.as_ptr() as u64;
    attr.test.data_size_in = u32::try_from(packet.bytes.len()).map_err(io::Error::other)?;
    attr.test.repeat = repeat.max(1);
    if packet.linear.is_some() || packet.mark != 0 {
        attr.test.ctx_in = context.as_ptr() as u64;
        attr.test.ctx_size_in = CONTEXT_BYTES as u32;
    }
    // SAFETY: the packet and the context live as long as the call, and their sizes are passed with
    // them.
    #[expect(unsafe_code, reason = "bpf(2)")]
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    // SAFETY: every field of the union is a struct of integers, valid whatever its bytes are.
    #[expect(unsafe_code, reason = "the kernel answers in a union")]
    let test = unsafe { attr.test };
    Ok(TestRun {
        result: test.retval,
        nanoseconds: test.duration,
    })
}
