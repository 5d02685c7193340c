//! `generate` creates packets when it is run with `BPF_F_TEST_XDP_LIVE_FRAMES`; `count` counts the
//! packets that pass an interface and passes them on.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map, xdp},
    maps::{Array, PerCpuArray},
    programs::{TcContext, XdpContext},
};
use generator_ebpf::{DUE, FIRST, INTERVAL, LATEST, SEQUENCE, SEQUENCE_OFFSET, SLOTS, WAITED};

#[map]
static STATE: Array<u64> = Array::with_max_entries(SLOTS, 0);

#[map]
static COUNTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Iterations of the waiting loop: the verifier follows each of them. About a millisecond.
const MOST_TURNS: u32 = 40_000;

/// Maximum lag behind its schedule that the generator catches up with, in nanoseconds.
const MOST_LAG: u64 = 10_000_000;

#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    // A packet that was not created as planned must not look like one that was.
    match prepare(&ctx) {
        Some(()) => xdp_action::XDP_PASS,
        None => xdp_action::XDP_ABORTED,
    }
}

#[inline(always)]
fn prepare(ctx: &XdpContext) -> Option<()> {
    let now = wait()?;
    let sequence = STATE.get_ptr_mut(SEQUENCE)?;
    let data = ctx.data();
    if data + SEQUENCE_OFFSET + 8 > ctx.data_end() {
        return None;
    }
    // SAFETY: one CPU runs the generator and nobody else writes this slot while it runs.
    let number = unsafe { *sequence };
    if number == 0 {
        // SAFETY: as above.
        unsafe { *STATE.get_ptr_mut(FIRST)? = now };
    }
    // SAFETY: as above.
    unsafe { *STATE.get_ptr_mut(LATEST)? = now };
    // SAFETY: as above; the packet has 8 bytes at the offset, which was just checked.
    unsafe {
        *sequence = number + 1;
        ((data + SEQUENCE_OFFSET) as *mut u64).write_unaligned(number.to_be());
    }
    Some(())
}

/// Waits until the next packet is due; returns the time.
#[inline(always)]
fn wait() -> Option<u64> {
    // SAFETY: a helper without arguments.
    let mut now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: see `prepare`.
    let interval = unsafe { *STATE.get_ptr(INTERVAL)? };
    if interval == 0 {
        return Some(now);
    }
    let slot = STATE.get_ptr_mut(DUE)?;
    // SAFETY: see `prepare`.
    let mut due = unsafe { *slot };
    if due + MOST_LAG < now {
        due = now;
    }
    let begin = now;
    let mut turn = 0;
    while turn < MOST_TURNS && now < due {
        // SAFETY: a helper without arguments.
        now = unsafe { bpf_ktime_get_ns() };
        turn += 1;
    }
    // SAFETY: see `prepare`.
    unsafe {
        *slot = due + interval;
        *STATE.get_ptr_mut(WAITED)? += now - begin;
    }
    Some(now)
}

#[classifier]
pub fn count(_: TcContext) -> i32 {
    if let Some(counted) = COUNTED.get_ptr_mut(0) {
        // SAFETY: each CPU has its own, and a TC program is not interrupted by another on its CPU.
        unsafe { *counted += 1 };
    }
    TC_ACT_UNSPEC
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
