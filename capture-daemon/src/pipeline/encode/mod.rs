//! Packets as the bytes of a capture file.
//!
//! What stands once in a file is written by `pcap-file`; packets are written by own code, straight
//! into the block that goes to disk (the `encode` benchmark compares the two).

pub(crate) mod pcap;
pub(crate) mod pcapng;
pub(crate) mod text;

use super::{copying::Copying, packet::Packet};
use capture_types::Format;

pub use pcap::Pcap;
pub use pcapng::Pcapng;

/// Words as the bytes that stand in the file.
#[inline]
fn words<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    const { assert!(BYTES == WORDS * size_of::<u32>()) };
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.chunks_exact_mut(size_of::<u32>()).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// How the packets of a format stand in its files: those of which each takes as many bytes as follow from
/// how many were captured.
pub trait Encoding {
    /// The format.
    const FORMAT: Format;

    /// Bytes that [`Self::packet`] takes for so many captured bytes.
    fn packet_length(captured: usize) -> usize;

    /// Writes one packet over all of `file`, which is as long as [`Self::packet_length`] says. `number` is
    /// that of its interface in the file; a pcap file knows none.
    fn packet(number: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying);
}

/// Bytes that [`packet`] takes for so many captured bytes; more than there can be for lines, whose
/// length is known once they are made.
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
