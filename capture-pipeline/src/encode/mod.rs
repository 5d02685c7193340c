//! Packets as the bytes of a capture file.
//!
//! Blocks that occur once in a file are written by `pcap-file`; packets are written by our own
//! code, straight into the block that goes to disk (the `encode` benchmark compares the two).

pub(crate) mod pcap;
pub(crate) mod pcapng;
pub(crate) mod text;

use super::{copying::Copying, packet::Packet};
use capture_types::Format;

pub use pcap::Pcap;
pub use pcapng::Pcapng;

/// Words as bytes in the file's byte order.
#[inline]
fn words<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    const { assert!(BYTES == WORDS * size_of::<u32>()) };
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.chunks_exact_mut(size_of::<u32>()).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The encoding of packets in a format. Only for formats in which the encoded length follows from the
/// captured length.
pub trait Encoding {
    /// The format.
    const FORMAT: Format;

    /// Encoded length of a packet with `captured` captured bytes.
    fn packet_length(captured: usize) -> usize;

    /// Writes one packet over all of `file`, which has the length that [`Self::packet_length`] gives.
    /// `number` is the interface's number in the file; pcap files have none.
    fn packet(number: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying);
}

/// Encoded length of a packet with `captured` captured bytes; an upper bound for lines, whose
/// length is known only when they are made.
#[inline]
#[must_use]
pub fn packet_length(format: Format, captured: usize) -> usize {
    match format {
        Format::Pcapng => Pcapng::packet_length(captured),
        Format::Pcap => Pcap::packet_length(captured),
        Format::Text => usize::MAX,
    }
}

/// Writes one packet in a format. Lines are made by `text::Lines`, which knows the interface itself.
pub fn packet(format: Format, number: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying) {
    match format {
        Format::Pcapng => Pcapng::packet(number, packet, file, copying),
        Format::Pcap => Pcap::packet(number, packet, file, copying),
        Format::Text => {}
    }
}
