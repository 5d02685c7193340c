//! Packets as lines: those of text files, and those in the daemon's own output.

use std::io::Write as _;

use capture_text::Line;

use crate::packet::{InterfaceDescription, Packet};
use capture_types::{CaptureName, Direction};

/// How the lines of a capture begin.
#[derive(Debug, Clone)]
pub(crate) enum Lines {
    /// With the time: a file has the lines of one capture.
    OfFile,
    /// With `PACKET:`, and with the capture after the time: other lines are mixed with them.
    OfOutput(CaptureName),
}

impl Lines {
    /// Appends a packet's line and its end.
    pub(crate) fn put(
        &self,
        packet: &Packet<'_>,
        interface: &InterfaceDescription,
        text: &mut Vec<u8>,
    ) {
        let (mark, capture) = match self {
            Self::OfFile => ("", None),
            Self::OfOutput(capture) => ("PACKET: ", Some(capture.as_str())),
        };
        let line = Line {
            timestamp: packet.timestamp,
            capture,
            interface: &interface.name,
            way: Some(match packet.direction {
                Direction::In => capture_text::Way::In,
                Direction::Out => capture_text::Way::Out,
            }),
            link_type: u32::from(interface.link_type.number()),
            original_length: packet.original_length,
            bytes: packet.bytes,
        };
        // Writing to memory does not fail.
        let _ = writeln!(text, "{mark}{line}");
    }
}
