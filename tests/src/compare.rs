//! Compares the packets of two recorders; a difference is shown in readable form.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::capture_file::Packet;

/// Maximum difference of two recorders' timestamps of one packet, in nanoseconds.
pub const TIMESTAMP_TOLERANCE: u64 = 1_000_000;

/// A busy machine may preempt between one recorder's clock and the other's; so one packet in ten may
/// differ by more, but never so much that it would be another hour, day or clock.
const FURTHEST: u64 = 1_000_000_000;

/// The same packets: in number and order, byte for byte, in length and timestamp.
pub fn same_packets(ours: &[Packet], theirs: &[Packet]) -> Result<()> {
    let mut late = 0;
    for (index, (our, their)) in ours.iter().zip(theirs).enumerate() {
        ensure!(
            our.bytes == their.bytes && our.original_length == their.original_length,
            "packet {index} differs\n{}",
            difference(our, their)
        );
        let apart = our.timestamp.abs_diff(their.timestamp);
        late += usize::from(apart > TIMESTAMP_TOLERANCE);
        ensure!(
            apart <= FURTHEST,
            "packet {index} is {apart} ns away from the peer's\n{}",
            difference(our, their)
        );
    }
    same_count(ours, theirs)?;
    ensure!(
        late * 10 <= ours.len(),
        "{late} of {} timestamps are more than {TIMESTAMP_TOLERANCE} ns away from the peer's",
        ours.len()
    );
    Ok(())
}

/// Like [`same_packets`], in any order and at any time.
pub fn same_packets_in_any_order(ours: &[Packet], theirs: &[Packet]) -> Result<()> {
    let mut ours: Vec<_> = ours.iter().map(|packet| &packet.bytes).collect();
    let mut theirs: Vec<_> = theirs.iter().map(|packet| &packet.bytes).collect();
    ours.sort();
    theirs.sort();
    ensure!(
        ours == theirs,
        "{} packets here and {} at the peer, and not the same ones",
        ours.len(),
        theirs.len()
    );
    Ok(())
}

/// The packets are exactly these frames, in this order, none cut off.
pub fn same_frames(ours: &[Packet], sent: &[Vec<u8>]) -> Result<()> {
    for (index, (our, frame)) in ours.iter().zip(sent).enumerate() {
        ensure!(
            our.bytes == *frame && our.original_length as usize == frame.len(),
            "packet {index} is not the frame that was sent\ncaptured ({} bytes):\n{}\nsent ({} bytes):\n{}",
            our.original_length,
            hex(&our.bytes),
            frame.len(),
            hex(frame)
        );
    }
    ensure!(
        ours.len() == sent.len(),
        "{} packets captured, {} sent",
        ours.len(),
        sent.len()
    );
    Ok(())
}

fn same_count(ours: &[Packet], theirs: &[Packet]) -> Result<()> {
    let beyond = |packets: &[Packet], from: usize| match packets.get(from) {
        Some(packet) => describe(packet),
        None => String::new(),
    };
    ensure!(
        ours.len() == theirs.len(),
        "{} packets here, {} at the peer; the first of the surplus:\n{}{}",
        ours.len(),
        theirs.len(),
        beyond(ours, theirs.len()),
        beyond(theirs, ours.len()),
    );
    Ok(())
}

fn difference(our: &Packet, their: &Packet) -> String {
    let at = our
        .bytes
        .iter()
        .zip(&their.bytes)
        .position(|(a, b)| a != b)
        .map_or_else(
            || "none in the bytes that both have".to_owned(),
            |at| format!("at byte {at}"),
        );
    format!(
        "first difference: {at}\nhere:  {}peer:  {}",
        describe(our),
        describe(their)
    )
}

fn describe(packet: &Packet) -> String {
    format!(
        "{}.{:09} {:?} {} of {} bytes\n{}",
        packet.timestamp / 1_000_000_000,
        packet.timestamp % 1_000_000_000,
        packet.direction,
        packet.bytes.len(),
        packet.original_length,
        hex(&packet.bytes)
    )
}

/// The first bytes, 16 to a line.
fn hex(bytes: &[u8]) -> String {
    const MOST: usize = 96;
    let mut text = String::new();
    for (index, byte) in bytes.iter().take(MOST).enumerate() {
        let separator = if index % 16 == 15 { '\n' } else { ' ' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}{separator}");
    }
    if bytes.len() > MOST {
        text.push_str("...");
    }
    text.push('\n');
    text
}
