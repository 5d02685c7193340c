//! Settings that user space writes before it loads the programs. The kernel freezes them, so the
//! verifier treats them as constants and removes the code that they make unreachable.

use aya_ebpf::Global;

/// Bytes kept of a packet at most, at least 1.
#[unsafe(no_mangle)]
static SNAPLEN: Global<u32> = Global::new(0);

/// Bytes of the front ring between two wake-ups, a power of two.
#[unsafe(no_mangle)]
static WAKEUP_DISTANCE: Global<u64> = Global::new(0);

/// 1 if there is a spill ring, else 0.
#[unsafe(no_mangle)]
static HAS_SPILL: Global<u8> = Global::new(0);

/// 1 where the kernel has `bpf_ktime_get_tai_ns` (6.1), else 0.
#[unsafe(no_mangle)]
static TAI_CLOCK: Global<u8> = Global::new(0);

#[inline(always)]
pub fn snaplen() -> u32 {
    SNAPLEN.load()
}

#[inline(always)]
pub fn wakeup_distance() -> u64 {
    WAKEUP_DISTANCE.load()
}

#[inline(always)]
pub fn has_spill() -> bool {
    HAS_SPILL.load() != 0
}

#[inline(always)]
pub fn has_tai_clock() -> bool {
    TAI_CLOCK.load() != 0
}
