//! The reader's end of the ring buffer, and the waiting for it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use capture_common::{RECORD_DATA, RecordHeader};
use rustix::{
    event::{
        EventfdFlags, Timespec,
        epoll::{self, EventData, EventFlags},
        eventfd,
    },
    io::Errno,
};

use super::records::Records;

/// The ring buffer of one capture.
pub(super) struct Ring {
    records: Records,
    epoll: OwnedFd,
}

/// Ends a wait from another thread.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Ring {
    /// Takes over the reader's end of a map of type `BPF_MAP_TYPE_RINGBUF` with `size` bytes.
    pub(super) fn new(map: &OwnedFd, size: u32) -> io::Result<(Self, Waker)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge triggered: the programs say when it is worth waking up. Level triggered, every wait
        // would end at once while packets trickle in.
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, map, EventData::new_u64(0), edge)?;
        epoll::add(&epoll, &waker, EventData::new_u64(1), edge)?;
        let records = Records::new(map, size as usize)?;
        Ok((Self { records, epoll }, Waker(waker)))
    }

    /// Hands the next record to `take`; `false` if there is none, or if its packet is still being
    /// copied.
    #[inline]
    pub(super) fn next(&mut self, take: impl FnOnce(&RecordHeader, &[u8])) -> bool {
        let Some(record) = self.records.next() else {
            return false;
        };
        if let Some((header, bytes)) = parse(record) {
            take(&header, bytes);
        }
        true
    }

    /// Sleeps until the programs or a [`Waker`] say that there is something to do, or `longest`.
    pub(super) fn wait(&self, longest: Duration) -> io::Result<()> {
        let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
        let mut events = [const { MaybeUninit::uninit() }; 2];
        match epoll::wait(&self.epoll, &mut events, Some(&longest)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Waker {
    /// Ends the wait that is on, or the next one.
    pub(super) fn wake(&self) {
        // The only failure is a counter at its maximum, which wakes as well.
        let _ = rustix::io::write(self.as_fd(), &1_u64.to_ne_bytes());
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Splits a record into its header and the packet's bytes; `None` if it is not one of ours, which
/// only a program that is not this build's could cause.
#[inline]
fn parse(record: &[u8]) -> Option<(RecordHeader, &[u8])> {
    let (header, data) = record.split_first_chunk::<RECORD_DATA>()?;
    let header = RecordHeader::from_bytes(header);
    let bytes = data.get(..header.captured_length as usize)?;
    Some((header, bytes))
}
