use core::mem::size_of;

/// The kernel's part of the ledger, per interface and CPU: each packet that passes is counted in
/// exactly one of the first four.
///
/// `seen = filtered + matched` and `matched = submitted + ring_full + unreadable` are sums of these
/// and hold by construction; that they are true is for tests to show against the sender's count.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The filter did not match.
    pub filtered: u64,
    /// Copied into the ring buffer.
    pub submitted: u64,
    /// The ring buffer had no room.
    pub ring_full: u64,
    /// The packet's bytes could not be read, or the program could not be reached.
    pub unreadable: u64,
    /// Of the submitted: captured shorter than it was.
    pub truncated: u64,
}

const _: () = assert!(size_of::<Counters>() == 40);

/// Most interfaces with counters of their own that one capture can have at a time.
pub const INTERFACES: u32 = 16_384;

/// The key under which packets of an interface without counters are counted: no interface has it.
pub const UNKNOWN_INTERFACE: u32 = 0;

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya reads map values only of types that are marked so"
)]
// SAFETY: `repr(C)`, five u64 and nothing else: every bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Counters {}
