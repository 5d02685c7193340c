//! The input of the analysis: a packet from any source.

/// A packet of a capture file, borrowed from the reader.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// Its interface, numbered over all files.
    pub interface: u32,
    /// The link type's number (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: u16,
    /// Its length on the wire.
    pub original_length: u32,
    /// The captured bytes.
    pub data: &'a [u8],
    /// The number of its file, from 0.
    pub file: u32,
    /// Its number in its file, from 1, like Wireshark's.
    pub frame: u64,
}
