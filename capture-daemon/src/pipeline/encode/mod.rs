//! Packets as the bytes of a capture file.
//!
//! What stands once in a file is written by `pcap-file`; packets are written by own code, straight
//! into the block that goes to disk (the `encode` benchmark compares the two).

pub(crate) mod pcap;
pub(crate) mod pcapng;
pub(crate) mod text;

use super::{copying::Copying, packet::Packet};
use crate::spec::Format;

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

/// Bytes that [`packet`] takes for so many captured bytes; more than there can be for lines, whose
/// length is known once they are made.
#[inline]
pub const fn packet_length(format: Format, captured: usize) -> usize {
    match format {
        Format::Pcapng => pcapng::packet_length(captured),
        Format::Pcap => pcap::packet_length(captured),
        Format::Text => usize::MAX,
    }
}

/// Writes one packet over all of `file`, which is as long as [`packet_length`] says. `number` is that
/// of its interface in the file; a pcap file knows none. Lines are made by `text::Lines`, which knows
/// the interface itself.
#[inline]
pub fn packet(format: Format, number: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying) {
    match format {
        Format::Pcapng => pcapng::packet(number, packet, file, copying),
        Format::Pcap => pcap::packet(packet, file, copying),
        Format::Text => {}
    }
}
