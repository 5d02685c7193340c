//! Every map of the programs. User space sets the sizes that depend on the capture.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf},
};
use capture_common::{
    Counters, INTERFACES, PROGRAMS_LENGTH, SLOTS_LENGTH, Slot, UNKNOWN_INTERFACE, slot_index,
};

/// Packets on their way to user space. Small, so that its memory stays in the CPU's caches and address
/// translations as long as the reader keeps up.
#[map]
pub static FRONT: RingBuf = RingBuf::with_byte_size(1 << 21, 0);

/// Takes what the front ring has no room for; used only if [`crate::config::has_spill`]. Its records
/// begin with the front ring's position behind which they belong.
#[map]
pub static SPILL: RingBuf = RingBuf::with_byte_size(1 << 26, 0);

/// The ledger's counters by [`slot_index`]. User space gives an interface its slot, if that is free,
/// before it attaches.
#[map]
static SLOTS: PerCpuArray<Slot> = PerCpuArray::with_max_entries(SLOTS_LENGTH, 0);

/// The counters of interfaces without a slot, by ifindex. User space makes an interface's entry before
/// it attaches. There are few, so that memory is taken for those that there are: for all that there
/// may be it would be 640 KiB for each CPU.
#[map]
static COUNTERS: PerCpuHashMap<u32, Counters> =
    PerCpuHashMap::with_max_entries(INTERFACES, BPF_F_NO_PREALLOC);

/// The capture programs, for a filter program to go on to.
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(PROGRAMS_LENGTH, 0);

/// This CPU's counters of an interface, or those of the interfaces that have none.
#[inline(always)]
pub fn counters(ifindex: u32) -> Option<*mut Counters> {
    slot(ifindex)
        .or_else(|| COUNTERS.get_ptr_mut(ifindex))
        .or_else(|| COUNTERS.get_ptr_mut(UNKNOWN_INTERFACE))
}

#[inline(always)]
fn slot(ifindex: u32) -> Option<*mut Counters> {
    let slot = SLOTS.get_ptr_mut(slot_index(ifindex))?;
    // SAFETY: the verifier has seen that the lookup gave an element, which stays where it is as long as
    // this program runs.
    unsafe { ((*slot).ifindex == ifindex).then_some(&raw mut (*slot).counters) }
}
