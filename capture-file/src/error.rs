//! Why a capture file cannot be read.

use std::io;

/// Why a capture file cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a capture file, or it is damaged.
    #[error("damaged {offset} bytes after its beginning (uncompressed): {problem}")]
    Damaged {
        /// The offset.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// It ends in the middle of a packet, a block or a compressed member.
    #[error("cut off {offset} bytes after its beginning (uncompressed)")]
    Cut {
        /// The end of the last whole record.
        offset: u64,
    },
}
