//! Why a capture file cannot be read.

use std::io;

/// Why a capture file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no capture file, or is damaged.
    #[error("damaged {offset} bytes behind its beginning (uncompressed): {problem}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// It ends in the middle of a packet, a block or a compressed member.
    #[error("cut off {offset} bytes behind its beginning (uncompressed)")]
    Cut {
        /// The end of the last whole record.
        offset: u64,
    },
}
