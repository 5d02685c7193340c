//! Sequence numbers, which wrap.

/// How far `to` is ahead of `from`; negative if it is behind.
#[inline]
pub(crate) const fn ahead(to: u32, from: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}
