//! The maps of the programs. User space sets the sizes that depend on the capture.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_PROD_POS},
    macros::map,
    maps::{Array, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf},
};
use capture_common::{
    Bucket, Counters, INTERFACES, PROGRAMS_LENGTH, SLOTS_LENGTH, Slot, UNKNOWN_INTERFACE,
    bucket_index, slot_index,
};

/// Packets on their way to user space. The ring is small, so that it stays in the CPU's caches and TLB as
/// long as the reader keeps up.
#[map]
pub static FRONT: RingBuf = RingBuf::with_byte_size(1 << 21, 0);

/// Packets for which the front ring has no room; used only if [`crate::config::has_spill`]. Each record
/// begins with the position of the front ring after which it belongs.
#[map]
pub static SPILL: RingBuf = RingBuf::with_byte_size(1 << 26, 0);

/// The ledger's counters by [`slot_index`]. User space assigns an interface its slot, if the slot is
/// free, before it attaches.
#[map]
static SLOTS: PerCpuArray<Slot> = PerCpuArray::with_max_entries(SLOTS_LENGTH, 0);

/// The counters of interfaces without a slot, by ifindex. User space creates an interface's entry before
/// it attaches. Entries are allocated on demand: few interfaces need one, and the whole map would take
/// 900 KiB per CPU.
#[map]
static COUNTERS: PerCpuHashMap<u32, Counters> =
    PerCpuHashMap::with_max_entries(INTERFACES, BPF_F_NO_PREALLOC);

/// Where packets were seen first, by [`bucket_index`]; used only if
/// [`crate::config::records_each_packet_once`]. User space then makes it larger.
#[map]
static SIGHTS: Array<Bucket> = Array::with_max_entries(1, 0);

/// The capture programs, which filter programs tail-call.
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(PROGRAMS_LENGTH, 0);

/// Not 0 while the reader of the rings sleeps without a bound. User space sets it.
#[map]
static READER: Array<u32> = Array::with_max_entries(1, 0);

/// Whether the reader sleeps until the programs wake it.
#[inline(always)]
pub fn reader_sleeps() -> bool {
    // SAFETY: as below; user space changes the value as a whole.
    READER
        .get_ptr(0)
        .is_some_and(|sleeps| unsafe { sleeps.read_volatile() } != 0)
}

/// This CPU's counters of an interface, or the counters of unknown interfaces.
#[inline(always)]
pub fn counters(ifindex: u32) -> Option<*mut Counters> {
    slot(ifindex)
        .or_else(|| COUNTERS.get_ptr_mut(ifindex))
        .or_else(|| COUNTERS.get_ptr_mut(UNKNOWN_INTERFACE))
}

#[inline(always)]
fn slot(ifindex: u32) -> Option<*mut Counters> {
    let slot = SLOTS.get_ptr_mut(slot_index(ifindex))?;
    // SAFETY: the lookup returned an element, which does not move as long as this program runs.
    unsafe { ((*slot).ifindex == ifindex).then_some(&raw mut (*slot).counters) }
}

/// The bucket of a packet's key.
#[inline(always)]
pub fn bucket(key: u64) -> Option<*mut Bucket> {
    SIGHTS.get_ptr_mut(bucket_index(key))
}

/// The position up to which the front ring is reserved.
#[inline(always)]
pub fn front_position() -> u64 {
    FRONT.query(u64::from(BPF_RB_PROD_POS))
}
