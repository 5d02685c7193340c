//! Waking the reader costs more than copying a packet, so the reader is woken once per wake-up distance.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};

use crate::{config, maps};

/// The kernel wakes the reader if the reader has consumed all earlier records of the ring.
pub const WHEN_FIRST: u64 = 0;

/// The flags for submitting a reserved record of `size` bytes in the front ring.
///
/// The reader is woken if the record crosses a multiple of the wake-up distance. This needs no state,
/// so it works with any number of CPUs and interfaces that fill the ring. Another CPU that reserves in
/// between can hide a crossing; the first record in the spill ring wakes the reader too, and the
/// reader's wait is bounded as long as packets come. A reader that sleeps without a bound, because none
/// came for a while, is woken by the first record.
#[inline(always)]
pub fn flags(size: u64) -> u64 {
    let end = maps::front_position();
    if end & (config::wakeup_distance() - 1) < size {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else if maps::reader_sleeps() {
        WHEN_FIRST
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
