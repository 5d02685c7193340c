//! Numbers in network byte order, if they were captured.

#[inline]
pub(super) fn half(data: &[u8], at: usize) -> Option<u16> {
    let two = data.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(two))
}

#[inline]
pub(super) fn word(data: &[u8], at: usize) -> Option<u32> {
    let four = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

#[inline]
pub(super) fn mac(data: &[u8], at: usize) -> Option<[u8; 6]> {
    data.get(at..at + 6)?.try_into().ok()
}
