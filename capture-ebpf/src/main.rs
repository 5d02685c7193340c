//! The TC programs, one for each direction and link type; all of them are [`capture::capture`].
//!
//! The verdict is the same on every path: the next program runs. `TC_ACT_UNSPEC` and `TCX_NEXT` are
//! both -1.
#![no_std]
#![no_main]

mod capture;
mod config;
mod duplicate;
mod maps;
mod own;
mod packet;
mod wakeup;

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use capture_common::{DIRECTION_EGRESS, DIRECTION_INGRESS, LINK_ETHERNET, LINK_RAW};

#[classifier]
pub fn captured_eth_in(context: TcContext) -> i32 {
    capture::capture::<DIRECTION_INGRESS, LINK_ETHERNET>(&context);
    TC_ACT_UNSPEC
}

#[classifier]
pub fn captured_eth_eg(context: TcContext) -> i32 {
    capture::capture::<DIRECTION_EGRESS, LINK_ETHERNET>(&context);
    TC_ACT_UNSPEC
}

#[classifier]
pub fn captured_raw_in(context: TcContext) -> i32 {
    capture::capture::<DIRECTION_INGRESS, LINK_RAW>(&context);
    TC_ACT_UNSPEC
}

#[classifier]
pub fn captured_raw_eg(context: TcContext) -> i32 {
    capture::capture::<DIRECTION_EGRESS, LINK_RAW>(&context);
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
