//! Digests: an OS thread that computes the digests of finished files. The capture never waits for it: it
//! runs only when nothing else wants the CPU or the disk, reads no file that is being written (reading one
//! holds a lock that the writer needs), and pauses while packets are written faster than it could follow.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    buffer::AlignedBuffer, direct_file::set_direct, messages::FinalizeTask, progress::Progress,
    system,
};
use capture_file::{Directory, Hasher};
use capture_types::{Digest, DigestAlgorithm};

/// What the digest thread needs.
pub(crate) struct Digester {
    pub(crate) directory: Arc<Directory>,
    pub(crate) algorithm: DigestAlgorithm,
    /// Names of finished files.
    pub(crate) inbox: Receiver<String>,
    pub(crate) finalizer: Sender<FinalizeTask>,
    pub(crate) progress: Arc<Progress>,
    /// Set when digests are no longer wanted.
    pub(crate) abort: Arc<AtomicBool>,
}

/// Bytes of one read: a huge page, which the kernel looks up as one.
pub(crate) const PIECE: usize = 2 << 20;

impl Digester {
    /// Reads file after file, each piece into `buffer`, until all senders of names are gone.
    pub(crate) fn run(self, mut buffer: AlignedBuffer) {
        system::run_when_idle();
        let mut pace = Pace::new(&self.progress);
        while let Ok(file) = self.inbox.recv() {
            match self.digest(&file, &mut buffer, &mut pace) {
                Ok(Some(digest)) => {
                    // The finalizer outlives this thread.
                    let _ = self.finalizer.send(FinalizeTask::Digest { file, digest });
                }
                Ok(None) => break,
                // Retention, or the compression of rotated files, has removed the file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(file, %error, "no digest"),
            }
        }
    }

    /// `None` when the digest is no longer wanted.
    fn digest(
        &self,
        name: &str,
        buffer: &mut AlignedBuffer,
        pace: &mut Pace<'_>,
    ) -> io::Result<Option<Digest>> {
        let mut file = self.directory.read(name)?;
        // Past the page cache where possible, so that the host's own files stay in it.
        let _ = set_direct(&file, true);
        let mut hash = Hasher::new(self.algorithm);
        loop {
            while !pace.has_time() {
                if self.abort.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                thread::sleep(PAUSE);
            }
            if self.abort.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let memory = buffer.whole_mut();
            match read(&mut file, memory)? {
                0 => return Ok(Some(hash.digest())),
                length => hash.update(&memory[..length]),
            }
        }
    }
}

fn read(file: &mut File, memory: &mut [u8]) -> io::Result<usize> {
    match file.read(memory) {
        // After the last whole piece the file system may require buffered reads.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            set_direct(file, false)?;
            file.read(memory)
        }
        other => other,
    }
}

/// How long a busy digest thread pauses.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a rate is measured.
const WINDOW: Duration = Duration::from_millis(200);
/// A capture that writes more bytes a second than this postpones digests: on a slow core one SHA-256
/// costs about as much as writing four times as much.
const BUSY: u64 = 32 << 20;

/// Decides whether the capture leaves time for digests.
struct Pace<'a> {
    progress: &'a Progress,
    since: Instant,
    bytes: u64,
    busy: bool,
}

impl<'a> Pace<'a> {
    fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            since: Instant::now(),
            bytes: progress.bytes(),
            busy: false,
        }
    }

    fn has_time(&mut self) -> bool {
        let elapsed = self.since.elapsed();
        if elapsed >= WINDOW {
            let bytes = self.progress.bytes();
            let rate = (bytes - self.bytes) as f64 / elapsed.as_secs_f64();
            self.busy = rate > BUSY as f64;
            self.bytes = bytes;
            self.since = Instant::now();
        }
        !self.busy && self.progress.queued() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, WINDOW};
    use crate::Progress;

    #[test]
    fn a_digest_waits_while_the_capture_is_busy_and_while_blocks_wait() {
        let progress = Progress::default();
        let mut pace = Pace::new(&progress);
        assert!(pace.has_time(), "nothing is written");
        progress.add_written(1, 1 << 30);
        pace.since -= WINDOW;
        assert!(!pace.has_time(), "a gibibyte was written");
        pace.since -= WINDOW;
        assert!(pace.has_time(), "and no more");
        progress.enqueue();
        assert!(!pace.has_time(), "a block waits");
        progress.dequeue();
        assert!(pace.has_time());
    }
}
