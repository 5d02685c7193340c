//! The reader's side of a capture's ring buffers, and waiting for them.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use rustix::{
    event::{
        EventfdFlags, Timespec,
        epoll::{self, EventData, EventFlags},
        eventfd,
    },
    io::Errno,
};

use super::records::{Records, Run, Spilled};
use capture_kernel::rings::RingMaps;

/// The ring buffers of one capture, read as one.
pub(super) struct Ring {
    front: Records,
    spill: Option<Records>,
    epoll: OwnedFd,
}

/// How long to wait for a record that is being filled. A record is filled within a microsecond unless
/// its CPU is preempted; nothing wakes the reader for it when the front ring is full.
const UNDECIDED_WAIT: Duration = Duration::from_millis(1);

/// Which ring's records come next, and up to which of its positions.
enum Next {
    Front { until: usize },
    Spill { until: usize },
}

/// Ends a wait from another thread.
#[derive(Debug, Clone)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Ring {
    /// Takes over the reader's side of maps of type `BPF_MAP_TYPE_RINGBUF`.
    pub(super) fn new(maps: &RingMaps) -> io::Result<(Self, Waker)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge triggered: the programs decide when to wake the reader. Level triggered, every wait
        // would end at once while packets trickle in.
        let edge = EventFlags::IN | EventFlags::ET;
        for (data, ring) in (0..).zip(maps.iter()) {
            epoll::add(&epoll, &ring.descriptor, EventData::new_u64(data), edge)?;
        }
        epoll::add(&epoll, &waker, EventData::new_u64(u64::MAX), edge)?;
        let ring = Self {
            front: Records::new(&maps.front)?,
            spill: maps.spill.as_ref().map(Records::new).transpose()?,
            epoll,
        };
        Ok((ring, Waker(Arc::new(waker))))
    }

    /// The next records whose order is known; none if the next packet is still being copied.
    #[inline(always)]
    pub(super) fn run(&mut self) -> Run<'_> {
        let next = self.next();
        match (&mut self.spill, next) {
            (Some(spill), Next::Spill { until }) => spill.spilled_run(until, self.front.position()),
            (_, Next::Spill { until } | Next::Front { until }) => self.front.run(until),
        }
    }

    #[inline(never)]
    fn next(&mut self) -> Next {
        let Self { front, spill, .. } = self;
        // The spill ring is checked after the front ring: if a record was seen in the front ring, so
        // is what the same CPU has spilled before it.
        let until = front.look();
        let Some(spill) = spill else {
            return Next::Front { until };
        };
        let position = front.position();
        match spill.spilled() {
            Spilled::Nothing => Next::Front { until },
            // Which record comes next is unknown until it is filled.
            Spilled::Busy => Next::Front { until: position },
            Spilled::Behind(behind) if behind <= position => Next::Spill {
                until: spill.look(),
            },
            // Everything before it is in the front ring by now.
            Spilled::Behind(behind) => Next::Front {
                until: front.look().min(behind),
            },
        }
    }

    /// Sleeps until the programs or a [`Waker`] signal, or for `longest`; without a bound if that is
    /// `None`.
    pub(super) fn wait(&mut self, longest: Option<Duration>) -> io::Result<()> {
        self.front.tell();
        let mut longest = longest;
        if let Some(spill) = &mut self.spill {
            spill.tell();
            // The programs wake the reader for the first record after the consumed position they were
            // told: everything that came before they were told must be seen here.
            fence(Ordering::SeqCst);
            if spill.spilled() != Spilled::Nothing {
                longest =
                    Some(longest.map_or(UNDECIDED_WAIT, |longest| longest.min(UNDECIDED_WAIT)));
            }
        }
        let longest = longest
            .map(Timespec::try_from)
            .transpose()
            .map_err(io::Error::other)?;
        let mut events = [const { MaybeUninit::uninit() }; 3];
        match epoll::wait(&self.epoll, &mut events, longest.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Waker {
    /// Ends the current wait, or the next one.
    pub(super) fn wake(&self) {
        // The only failure is a counter at its maximum, which wakes as well.
        let _ = rustix::io::write(self.as_fd(), &1_u64.to_ne_bytes());
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
