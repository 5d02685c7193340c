//! Digests: an OS thread that reads files back while they grow and takes their SHA-256. It runs only
//! when nothing else wants the CPU and reads only when the writer is not behind, so that it takes
//! nothing from the capture; it catches up when there is time.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use sha2::{Digest as _, Sha256};

use super::{
    buffer::AlignedBuffer,
    direct_file::set_direct,
    messages::{FinalizeTask, GrowingFile},
    progress::Progress,
    system,
};
use capture_file::{Directory, hex, name::PART};

/// What the digest thread needs.
pub(crate) struct Digester {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<GrowingFile>,
    pub(crate) finalizer: Sender<FinalizeTask>,
    pub(crate) progress: Arc<Progress>,
    /// Set when nobody waits for digests any more.
    pub(crate) abort: Arc<AtomicBool>,
}

/// A file in the course of being read.
struct Reading {
    growing: GrowingFile,
    file: Option<File>,
    hash: Sha256,
    offset: u64,
}

enum State {
    /// There is more to read.
    Busy,
    /// It has to grow first.
    Waiting,
    /// It is done with, with or without a digest.
    Done(Option<String>),
}

/// Bytes that are read at once.
pub(crate) const PIECE: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(20);

impl Digester {
    /// Follows files until nobody can name one any more and all are read, each piece into `buffer`.
    pub(crate) fn run(self, mut buffer: AlignedBuffer) {
        system::run_when_idle();
        let mut files: Vec<Reading> = Vec::new();
        let mut more = true;
        while (more || !files.is_empty()) && !self.abort.load(Ordering::Relaxed) {
            let busy = self.advance(&mut files, &mut buffer);
            // While there is something to read, new names wait for nothing.
            let next = if busy {
                self.inbox.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            } else {
                self.inbox.recv_timeout(PAUSE)
            };
            match next {
                Ok(growing) => files.push(Reading {
                    growing,
                    file: None,
                    hash: Sha256::new(),
                    offset: 0,
                }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // The writer has ended; what it has not finished stays so.
                    more = false;
                    files.retain(|reading| reading.growing.growth.is_finished());
                    if !busy {
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        }
    }

    /// Reads a piece of the first file that has one; `false` when none has, or the writer is behind.
    fn advance(&self, files: &mut Vec<Reading>, buffer: &mut AlignedBuffer) -> bool {
        /// Blocks in the queue with which the writer still keeps up.
        const KEEPS_UP: usize = 2;
        if self.progress.queued() > KEEPS_UP {
            return false;
        }
        for index in 0..files.len() {
            match self.read(&mut files[index], buffer) {
                State::Waiting => {}
                State::Busy => return true,
                State::Done(digest) => {
                    let file = files.remove(index).growing.name;
                    if let Some(sha256) = digest {
                        // The finalizer ends after this thread.
                        let _ = self.finalizer.send(FinalizeTask::Digest { file, sha256 });
                    }
                    return true;
                }
            }
        }
        false
    }

    fn read(&self, reading: &mut Reading, buffer: &mut AlignedBuffer) -> State {
        let end = reading.growing.growth.end.load(Ordering::Acquire);
        if end != u64::MAX && reading.offset > end {
            // It was cut after a failure.
            reading.hash = Sha256::new();
            reading.offset = 0;
        }
        let stable = reading.growing.growth.stable.load(Ordering::Acquire);
        let target = if end == u64::MAX { stable } else { end };
        if reading.offset == target {
            return if end == u64::MAX {
                State::Waiting
            } else {
                State::Done(Some(hex(&reading.hash.finalize_reset())))
            };
        }
        match self.read_piece(reading, buffer, target) {
            Ok(0) => State::Done(None),
            Ok(_) => State::Busy,
            Err(error) => {
                // Retention, or somebody else, was faster.
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = reading.growing.name, %error, "no digest");
                }
                State::Done(None)
            }
        }
    }

    fn read_piece(
        &self,
        reading: &mut Reading,
        buffer: &mut AlignedBuffer,
        target: u64,
    ) -> io::Result<usize> {
        let file = match &reading.file {
            Some(file) => file,
            None => reading.file.insert(self.open(&reading.growing.name)?),
        };
        let memory = buffer.whole_mut();
        let read = match file.read_at(memory, reading.offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                set_direct(file, false)?;
                file.read_at(memory, reading.offset)?
            }
            other => other?,
        };
        let wanted = usize::try_from(target - reading.offset).unwrap_or(usize::MAX);
        let taken = read.min(wanted);
        reading.hash.update(&memory[..taken]);
        reading.offset += taken as u64;
        Ok(taken)
    }

    /// Opens it under the name that it has by now. Read past the page cache where that goes, so that
    /// the host's own files stay in it.
    fn open(&self, name: &str) -> io::Result<File> {
        let file = self
            .directory
            .read(&format!("{name}{PART}"))
            .or_else(|_| self.directory.read(name))?;
        let _ = set_direct(&file, true);
        Ok(file)
    }
}
