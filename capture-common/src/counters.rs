use core::mem::{offset_of, size_of};

/// The kernel's part of the ledger, per interface and CPU: each packet that passes is counted in
/// exactly one of the first five.
///
/// `seen = filtered + matched` and `matched = submitted + ring_full + unreadable + duplicate` are sums of
/// these and hold by construction; tests compare them with the sender's count.
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
    /// The packet was recorded, or lost, at another place of its way through the host.
    pub duplicate: u64,
    /// Submitted packets that were captured shorter than they were.
    pub truncated: u64,
    /// Filtered packets of the daemon's own connections.
    pub own: u64,
}

const _: () = assert!(size_of::<Counters>() == 56);

/// Counters in an array, where a lookup is far cheaper than in a hash table.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The interface that owns the slot, 0 if none: several indexes lead to the same slot.
    pub ifindex: u32,
    /// Always 0.
    pub padding: u32,
    /// The interface's counters.
    pub counters: Counters,
}

const _: () = {
    assert!(size_of::<Slot>() == 64);
    assert!(offset_of!(Slot, ifindex) == 0);
    assert!(offset_of!(Slot, counters) == 8);
};

/// The number of slots, a power of two: 32 KiB per CPU and capture.
pub const SLOTS_LENGTH: u32 = 512;

const _: () = assert!(SLOTS_LENGTH.is_power_of_two());

/// The only slot that an interface can have. Consecutive indexes have different slots; an interface whose
/// slot is taken has its counters in the hash table.
#[must_use]
pub const fn slot_index(ifindex: u32) -> u32 {
    ifindex & (SLOTS_LENGTH - 1)
}

/// The number of interfaces without a slot, with counters in the hash table, that one capture can have
/// at a time.
pub const INTERFACES: u32 = 16_384;

/// The key of the counters for packets of unknown interfaces; no interface has this index.
pub const UNKNOWN_INTERFACE: u32 = 0;

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya reads map values only of types that implement Pod"
)]
// SAFETY: `repr(C)`, seven u64 and nothing else: every bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Counters {}

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya reads map values only of types that implement Pod"
)]
// SAFETY: `repr(C)`, two u32 and seven u64: every bit pattern is valid and there is no hidden padding.
unsafe impl aya::Pod for Slot {}
