//! A capture as one stream to the process's standard output. Unlike lines, of which some may be missing, a
//! stream is complete: the recorder waits for a slow reader as for a slow disk, and counts packets that
//! find no room meanwhile.

use std::time::Instant;

use rustix::io::Errno;

use super::{inbox::Inbox, outcome::FailureKind};

/// Bytes of a block: several of the largest packets.
pub(crate) const PIECE: usize = 256 << 10;

/// Writes the stream until all senders of blocks are gone.
pub(crate) fn write_stream(inbox: &Inbox) {
    inbox.write_each(|block| {
        let begun = Instant::now();
        match write_all(block.buffer.as_slice()) {
            Ok(()) => inbox.written(block, begun),
            Err(error) => {
                let problem = format!("cannot write to stdout: {error}");
                inbox.outcomes.fail(FailureKind::WriteError, problem);
                inbox.outcomes.lost(&block.counts);
            }
        }
    });
}

/// Bypasses the buffer of the standard library, which flushes at line breaks.
fn write_all(mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
