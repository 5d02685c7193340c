//! Lines in the process's own output. A slow or absent reader never blocks the capture for long:
//! lines that the output cannot take are counted.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fstat},
    io::Errno,
    net::{SendFlags, send},
};

use super::{block::Block, inbox::Inbox};

/// Bytes written in one piece: a pipe takes this many bytes at once or not at all (`PIPE_BUF`,
/// pipe(7)), so that lines of several captures never mix and the outcome of each block is known.
pub(crate) const PIECE: usize = 4096;

/// An output that has taken nothing for this long is stuck: from then on nobody waits for it until
/// it takes something again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process's standard output, which all captures share.
static OUTPUT: Output = Output::new();

struct Output(Mutex<State>);

struct State {
    sink: Option<Sink>,
    /// The end of a piece that was written only in part, as can happen with a terminal.
    rest: Vec<u8>,
    stuck: bool,
}

/// How the output is written without blocking.
enum Sink {
    /// A pipe or a terminal, opened anew so that other processes that share it do not find it
    /// non-blocking (`O_NONBLOCK` belongs to the open file).
    Own(File),
    /// A socket, like that of the journal.
    Socket,
    /// An output that never blocks: a file, or nothing.
    Plain,
}

impl Sink {
    fn open() -> io::Result<Self> {
        let stdout = rustix::stdio::stdout();
        Ok(match FileType::from_raw_mode(fstat(stdout)?.st_mode) {
            FileType::Fifo | FileType::CharacterDevice => OpenOptions::new()
                .write(true)
                .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
                .open("/proc/self/fd/1")
                .map(Self::Own)?,
            FileType::Socket => Self::Socket,
            _ => Self::Plain,
        })
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Own(file) => rustix::io::write(file, bytes),
            Self::Socket => send(
                rustix::stdio::stdout(),
                bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ),
            Self::Plain => rustix::io::write(rustix::stdio::stdout(), bytes),
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(file) => file.as_fd(),
            Self::Socket | Self::Plain => rustix::stdio::stdout(),
        }
    }

    /// Waits until the output may take something.
    fn wait(&self, longest: Duration) {
        let longest = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(longest.min(Duration::from_millis(999)).subsec_nanos()),
        };
        let mut polled = [PollFd::from_borrowed_fd(self.descriptor(), PollFlags::OUT)];
        // A failure shows in the next write.
        let _ = poll(&mut polled, Some(&longest));
    }
}

impl Output {
    const fn new() -> Self {
        Self(Mutex::new(State {
            sink: None,
            rest: Vec::new(),
            stuck: false,
        }))
    }

    /// Writes a piece of whole lines; `false` if the output does not take it.
    fn write(&self, piece: &[u8]) -> io::Result<bool> {
        // A panic elsewhere leaves a rest at most, which is written first.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { sink, rest, stuck } = &mut *state;
        let sink = match sink {
            Some(sink) => sink,
            None => sink.insert(Sink::open()?),
        };
        let until = Instant::now() + if *stuck { Duration::ZERO } else { PATIENCE };
        let taken = put_all(sink, rest, until)?;
        rest.drain(..taken);
        if !rest.is_empty() {
            *stuck = true;
            return Ok(false);
        }
        let taken = put_all(sink, piece, until)?;
        *stuck = taken < piece.len();
        if taken > 0 {
            // A line that is cut here is completed before anything else.
            let line = piece[taken..].iter().position(|byte| *byte == b'\n');
            let end = line.map_or(piece.len(), |at| taken + at + 1);
            rest.extend_from_slice(&piece[taken..end]);
        }
        Ok(!*stuck)
    }
}

/// Writes as much as is accepted until then; returns the length.
fn put_all(sink: &Sink, bytes: &[u8], until: Instant) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match sink.write(&bytes[taken..]) {
            Ok(0) => break,
            Ok(written) => taken += written,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                sink.wait(left);
            }
            // Some bytes were written; the next attempt reports the error.
            Err(_) if taken > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(taken)
}

/// Writes the lines of a capture until all senders of blocks are gone.
pub(crate) fn write_lines(inbox: &Inbox) {
    inbox.write_each(|block| write_block(inbox, block));
}

fn write_block(inbox: &Inbox, block: &Block) {
    if block.span.packets == 0 {
        return;
    }
    let begun = Instant::now();
    match OUTPUT.write(block.buffer.as_slice()) {
        Ok(true) => inbox.written(block, begun),
        Ok(false) => inbox.outcomes.too_slow(&block.counts),
        // A reader may come back: the next piece is tried again.
        Err(error) => {
            inbox.progress.warn(format!(
                "cannot write to the daemon's own output: {error}; lines count as write_error until it can be \
                 written again. Write to files instead, or check the program that reads the output"
            ));
            inbox.outcomes.lost(&block.counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, pipe},
        time::Instant,
    };

    use std::{fs::File, sync::Arc};

    use super::{OUTPUT, PATIENCE, PIECE, Sink, put_all, write_block};
    use crate::{block::Pool, inbox::Inbox, outcome::Outcomes, progress::Progress};

    #[test]
    fn a_pipe_that_nobody_reads_takes_whole_pieces_or_nothing() {
        let (mut reader, writer) = pipe().expect("pipe");
        rustix::io::ioctl_fionbio(&writer, true).expect("non-blocking");
        let sink = Sink::Own(std::os::fd::OwnedFd::from(writer).into());
        let piece = vec![b'x'; PIECE];
        let mut taken = 0;
        loop {
            match put_all(&sink, &piece, Instant::now()).expect("open") {
                0 => break,
                PIECE => taken += 1,
                part => panic!("{part} of {PIECE} bytes"),
            }
            assert!(taken < 1_000_000, "a pipe is finite");
        }
        let mut read = vec![0; PIECE];
        reader.read_exact(&mut read).expect("it is there");
        let later = Instant::now() + PATIENCE;
        assert_eq!(put_all(&sink, &piece, later).expect("open"), PIECE);
        drop(reader);
        assert!(
            put_all(&sink, &piece, later).is_err(),
            "nobody reads any more"
        );
    }

    #[test]
    fn an_output_that_cannot_be_written_ends_nothing_and_is_tried_again() {
        let outcomes = Arc::new(Outcomes::default());
        let progress = Arc::new(Progress::default());
        let pool = Arc::new(Pool::new(1, PIECE).expect("memory"));
        let inbox = Inbox {
            blocks: crossbeam_channel::bounded(1).1,
            pool: Arc::clone(&pool),
            outcomes: Arc::clone(&outcomes),
            progress: Arc::clone(&progress),
        };
        let mut block = pool.take().expect("one");
        block.counts.resize(1, 0);
        block.buffer.fill(b"a line\n");
        block.count(0, 1);
        let set = |sink: File| OUTPUT.0.lock().expect("nobody panics").sink = Some(Sink::Own(sink));
        set(File::options()
            .write(true)
            .open("/dev/full")
            .expect("it is there"));
        write_block(&inbox, &block);
        write_block(&inbox, &block);
        assert_eq!(outcomes.outcome(0).lost.write_error, 2);
        assert!(!outcomes.failed());
        assert_eq!(progress.warnings().len(), 1, "said once");
        let (mut reader, pipe) = pipe().expect("pipe");
        rustix::io::ioctl_fionbio(&pipe, true).expect("non-blocking");
        set(std::os::fd::OwnedFd::from(pipe).into());
        write_block(&inbox, &block);
        let mut line = [0; 7];
        reader.read_exact(&mut line).expect("it is there");
        assert_eq!((&line, outcomes.outcome(0).written), (b"a line\n", 1));
    }
}
