//! Every map of the programs. User space sets the sizes that depend on the capture.

use aya_ebpf::{
    macros::map,
    maps::{PerCpuHashMap, ProgramArray, RingBuf},
};
use capture_common::{Counters, INTERFACES, PROGRAMS_LENGTH, UNKNOWN_INTERFACE};

/// Packets on their way to user space.
#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(1 << 26, 0);

/// The ledger's counters by ifindex. User space makes an interface's entry before it attaches.
#[map]
static COUNTERS: PerCpuHashMap<u32, Counters> = PerCpuHashMap::with_max_entries(INTERFACES, 0);

/// The capture programs, for a filter program to go on to.
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(PROGRAMS_LENGTH, 0);

/// This CPU's counters of an interface, or those of the interfaces that have none.
#[inline(always)]
pub fn counters(ifindex: u32) -> Option<*mut Counters> {
    COUNTERS
        .get_ptr_mut(ifindex)
        .or_else(|| COUNTERS.get_ptr_mut(UNKNOWN_INTERFACE))
}
