//! Access to a packet's bytes.

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};

/// This many bytes of the packet from `offset`, if they are in its linear part: much cheaper to read
/// than with the helper. At least 2, so that the verifier understands the comparison.
#[inline(always)]
pub fn linear(skb: *mut __sk_buff, offset: usize, length: usize) -> Option<*const u8> {
    // SAFETY: the kernel passes every program a valid context.
    let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    let at = data + offset;
    (at + length <= end).then_some(at as *const u8)
}

/// A value at `offset` of the packet, in its linear part or not; `None` if the packet is shorter.
#[inline(always)]
pub fn load_slowly<T: Copy>(skb: *mut __sk_buff, offset: usize) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes the whole value or fails.
    unsafe {
        let failed = bpf_skb_load_bytes(
            skb.cast(),
            offset as u32,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        );
        (failed == 0).then(|| value.assume_init())
    }
}

/// A number of 16 bits in network byte order at an even `offset` of the packet, in its linear part or not.
#[inline(always)]
pub fn load_u16(skb: *mut __sk_buff, offset: usize) -> Option<u16> {
    match linear(skb, offset, 2) {
        // SAFETY: 2 bytes are there, aligned as every header is.
        Some(at) => Some(unsafe { at.cast::<u16>().read() }),
        None => load_slowly(skb, offset),
    }
}

/// Copies `length` bytes of the packet from `offset`: 1 to `room`, in a form that the verifier can check.
///
/// # Safety
///
/// `to` has room for `room` bytes.
#[inline(always)]
pub unsafe fn load_bytes(
    skb: *mut __sk_buff,
    offset: u32,
    to: *mut u8,
    length: u32,
    room: u32,
) -> bool {
    // The verifier of 6.1 knows that a number is not 0 only after 1 was added to it, and the compiler
    // would remove an addition that it can prove redundant: hence the last byte's index behind a black
    // box.
    let last = core::hint::black_box(length.wrapping_sub(1));
    if last >= room {
        return false;
    }
    // SAFETY: the caller's promise; `skb` is the program's context.
    unsafe { bpf_skb_load_bytes(skb.cast(), offset, to.cast(), last + 1) == 0 }
}
