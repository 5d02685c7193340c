//! Waking the reader costs more than the copy, so it is done once per so many bytes.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS},
    maps::RingBuf,
};

use crate::config;

/// The flags to submit a record of `size` bytes with, once it has been reserved.
///
/// It wakes the reader if the record reaches across a multiple of the wake-up distance. That takes
/// no state of ours, so it holds however many CPUs and interfaces fill the ring. Another CPU that
/// reserves in between can hide a crossing; the reader does not wait for ever.
#[inline(always)]
pub fn flags(ring: &RingBuf, size: u64) -> u64 {
    let end = ring.query(u64::from(BPF_RB_PROD_POS));
    if end & (config::wakeup_distance() - 1) < size {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
