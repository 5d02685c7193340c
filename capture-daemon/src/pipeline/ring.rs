//! The reader's end of a capture's ring buffers, and the waiting for them.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use capture_common::{RECORD_DATA, RecordHeader, SPILL_HEAD};
use rustix::{
    event::{
        EventfdFlags, Timespec,
        epoll::{self, EventData, EventFlags},
        eventfd,
    },
    io::Errno,
};

use super::records::{Head, Records};
use crate::kernel::rings::RingMaps;

/// The ring buffers of one capture as one.
pub(super) struct Ring {
    front: Records,
    spill: Option<Records>,
    /// The spill ring's next record was still being filled, so which record comes next was not known.
    undecided: bool,
    epoll: OwnedFd,
}

/// A record is filled within a microsecond, unless the CPU that does it is taken away; nobody wakes the
/// reader for it when the front ring is full.
const UNDECIDED_WAIT: Duration = Duration::from_millis(1);

/// Ends a wait from another thread.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Ring {
    /// Takes over the reader's end of maps of type `BPF_MAP_TYPE_RINGBUF`.
    pub(super) fn new(maps: &RingMaps) -> io::Result<(Self, Waker)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge triggered: the programs say when it is worth waking up. Level triggered, every wait
        // would end at once while packets trickle in.
        let edge = EventFlags::IN | EventFlags::ET;
        for (data, ring) in (0..).zip(maps.iter()) {
            epoll::add(&epoll, &ring.descriptor, EventData::new_u64(data), edge)?;
        }
        epoll::add(&epoll, &waker, EventData::new_u64(u64::MAX), edge)?;
        let ring = Self {
            front: Records::new(&maps.front)?,
            spill: maps.spill.as_ref().map(Records::new).transpose()?,
            undecided: false,
            epoll,
        };
        Ok((ring, Waker(waker)))
    }

    /// Hands the next record to `take`; `false` if there is none, or if its packet is still being
    /// copied.
    #[inline]
    pub(super) fn next(&mut self, take: impl FnOnce(&RecordHeader, &[u8])) -> bool {
        let mut front = self.front.head();
        // The spill ring is looked at after the front ring: if a record was seen there, so is what the
        // same CPU has spilled before it.
        let spilled = match &mut self.spill {
            None => false,
            Some(spill) => match spill.head() {
                Head::Empty => false,
                Head::Busy => {
                    self.undecided = true;
                    return false;
                }
                Head::Ready if is_next(spill, &self.front) => true,
                Head::Ready => {
                    // What comes before it is in the front ring by now.
                    front = self.front.head();
                    false
                }
            },
        };
        let record = match (spilled, &mut self.spill) {
            (true, Some(spill)) => spill.take().and_then(|record| record.get(SPILL_HEAD..)),
            _ if front == Head::Ready => self.front.take(),
            _ => return false,
        };
        if let Some((header, bytes)) = record.and_then(parse) {
            take(&header, bytes);
        }
        true
    }

    /// Sleeps until the programs or a [`Waker`] say that there is something to do, or `longest`.
    pub(super) fn wait(&mut self, longest: Duration) -> io::Result<()> {
        let longest = if std::mem::take(&mut self.undecided) {
            longest.min(UNDECIDED_WAIT)
        } else {
            longest
        };
        let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
        let mut events = [const { MaybeUninit::uninit() }; 3];
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

/// Whether the record that the spill ring has ready belongs before the next one of the front ring.
#[cold]
fn is_next(spill: &Records, front: &Records) -> bool {
    let behind = spill
        .peek()
        .and_then(|record| record.first_chunk())
        .map_or(0, |behind| u64::from_ne_bytes(*behind));
    front.position() as u64 >= behind
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
