//! Waking the reader costs more than the copy, so it is done once per so many bytes.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};

use crate::{capture::front_position, config};

/// The kernel wakes the reader if it has read all that was in the ring before.
pub const WHEN_FIRST: u64 = 0;

/// The flags to submit a record of `size` bytes in the front ring with, once it has been reserved.
///
/// It wakes the reader if the record reaches across a multiple of the wake-up distance. That takes
/// no state of ours, so it holds however many CPUs and interfaces fill the ring. Another CPU that
/// reserves in between can hide a crossing: the first record that spills wakes the reader as well, and
/// it does not wait for ever.
#[inline(always)]
pub fn flags(size: u64) -> u64 {
    let end = front_position();
    if end & (config::wakeup_distance() - 1) < size {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
