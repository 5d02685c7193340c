//! How the bytes of a packet are copied into a block: through the CPU's caches or past them.
//!
//! A block that goes to disk uncompressed is not read by a CPU again. With ordinary stores, each of its
//! cache lines is first read from memory and later written back, and evicts something that is needed:
//! the ring, or the data of the host's programs.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "streaming stores have no safe interface")
)]

/// How bytes are copied into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// Through the cache: a CPU reads the bytes next, for example to compress them.
    Cached,
    /// Past the cache: the disk reads the bytes next. The caller must call [`Copying::settle`]
    /// before other threads read them.
    Streamed,
}

/// Shorter copies gain nothing from streaming stores, nor from a call of `memcpy`.
const SHORT: usize = 256;

impl Copying {
    /// Copies `from` over `to`, which has the same length.
    #[inline(always)]
    pub(crate) fn copy(self, to: &mut [u8], from: &[u8]) {
        debug_assert_eq!(to.len(), from.len());
        if from.len() < SHORT {
            return copy_short(to, from);
        }
        #[cfg(target_arch = "x86_64")]
        if self == Self::Streamed {
            return stream(to, from);
        }
        to.copy_from_slice(from);
    }

    /// Makes the bytes that were copied past the cache visible to other threads.
    pub fn settle() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 CPU has SSE; the instruction only orders stores.
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}

/// In pieces of 16 bytes; the last piece overlaps the one before it.
#[inline(always)]
fn copy_short(to: &mut [u8], from: &[u8]) {
    type Piece = [u8; 16];
    if let (Some(last_to), Some(last_from)) = (to.last_chunk_mut::<16>(), from.last_chunk::<16>()) {
        *last_to = *last_from;
        let (to, _) = to.as_chunks_mut::<{ size_of::<Piece>() }>();
        let (from, _) = from.as_chunks::<{ size_of::<Piece>() }>();
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    } else {
        to.copy_from_slice(from);
    }
}

/// A cache line, which is written as a whole.
#[cfg(target_arch = "x86_64")]
type Line = [u8; 64];

/// Streams whole cache lines; the bytes before and after them are copied as usual.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn stream(to: &mut [u8], from: &[u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};

    let before = to.as_ptr().align_offset(size_of::<Line>()).min(to.len());
    let (from_head, from) = from.split_at(before);
    let (head, to) = to.split_at_mut(before);
    head.copy_from_slice(from_head);
    let (from_lines, from_tail) = from.as_chunks::<{ size_of::<Line>() }>();
    let (lines, tail) = to.as_chunks_mut::<{ size_of::<Line>() }>();
    for (to, from) in lines.iter_mut().zip(from_lines) {
        let (to, from): (*mut __m128i, *const __m128i) =
            (to.as_mut_ptr().cast(), from.as_ptr().cast());
        for part in 0..size_of::<Line>() / size_of::<__m128i>() {
            // SAFETY: the four parts are within the lines, and the destination is aligned to 16
            // bytes: it begins at a cache line, after `before`. Every x86-64 CPU has SSE2.
            unsafe { _mm_stream_si128(to.add(part), _mm_loadu_si128(from.add(part))) };
        }
    }
    tail.copy_from_slice(from_tail);
}

#[cfg(test)]
mod tests {
    use super::Copying;

    #[test]
    fn a_copy_past_the_cache_is_the_same_at_every_offset_and_length() {
        let from: Vec<u8> = (0..4096_u32).map(|byte| (byte * 7) as u8).collect();
        for offset in 0..130 {
            for length in (0..100).chain([255, 256, 257, 319, 320, 383, 1514, 2000]) {
                let mut to = vec![0xee; offset + length + 64];
                Copying::Streamed.copy(&mut to[offset..offset + length], &from[3..3 + length]);
                Copying::settle();
                assert!(to[..offset].iter().all(|byte| *byte == 0xee));
                assert_eq!(to[offset..offset + length], from[3..3 + length]);
                assert!(to[offset + length..].iter().all(|byte| *byte == 0xee));
            }
        }
    }
}
