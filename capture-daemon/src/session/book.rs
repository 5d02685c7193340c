//! The kernel's half of the ledger, by the capture's interfaces: those that are there and those that
//! are gone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use capture_common::{Counters, UNKNOWN_INTERFACE};

use crate::{
    kernel::counters::{CountersError, KernelCounters},
    pipeline::packet::InterfaceId,
};

/// Shared by the session, which opens and closes interfaces, and the drain thread, which writes
/// statistics into files. Locked a few times a second at most, never for a packet.
pub struct Book(Mutex<Pages>);

struct Pages {
    counters: KernelCounters,
    /// By [`InterfaceId`].
    interfaces: Vec<Page>,
}

enum Page {
    /// No counters of its own.
    Blank,
    /// Attached, or about to be: its counters are in the kernel, under this ifindex.
    Open(u32),
    /// Detached: what its counters were in the end.
    Closed(Counters),
}

impl Book {
    /// A book without interfaces.
    #[must_use]
    pub fn new(counters: KernelCounters) -> Self {
        Self(Mutex::new(Pages {
            counters,
            interfaces: Vec::new(),
        }))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A panic elsewhere leaves whole entries: the numbers stay good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the counters of an interface.
    pub fn open(&self, id: InterfaceId, ifindex: u32) -> Result<(), CountersError> {
        let mut pages = self.pages();
        pages.counters.open(ifindex)?;
        *pages.at(id) = Page::Open(ifindex);
        Ok(())
    }

    /// Gives the counters of packets whose interface is not known to `id`, if nobody has them yet.
    pub fn open_unknown(&self, id: InterfaceId) {
        let mut pages = self.pages();
        let taken = |page: &Page| matches!(page, Page::Open(UNKNOWN_INTERFACE));
        if !pages.interfaces.iter().any(taken) {
            *pages.at(id) = Page::Open(UNKNOWN_INTERFACE);
        }
    }

    /// Takes an interface's last counters; to be called when nothing is attached to it any more.
    pub fn close(&self, id: InterfaceId) -> Result<(), CountersError> {
        let mut pages = self.pages();
        let Pages {
            counters,
            interfaces,
        } = &mut *pages;
        if let Some(page) = interfaces.get_mut(id.0 as usize)
            && let Page::Open(ifindex) = *page
        {
            let last = counters.read(ifindex)?;
            *page = Page::Closed(last);
            counters.close(ifindex)?;
        }
        Ok(())
    }

    /// An interface's counters as they are now; `None` where they cannot be read.
    #[must_use]
    pub fn read(&self, id: InterfaceId) -> Option<Counters> {
        let pages = self.pages();
        pages.read(pages.interfaces.get(id.0 as usize)?)
    }

    /// Packets put into the ring buffer so far, of all interfaces; `None` where a counter cannot be
    /// read.
    #[must_use]
    pub fn submitted(&self) -> Option<u64> {
        let pages = self.pages();
        let unknown = |page: &Page| matches!(page, Page::Open(UNKNOWN_INTERFACE));
        let mut sum = match pages.interfaces.iter().any(unknown) {
            true => 0,
            false => pages.counters.read(UNKNOWN_INTERFACE).ok()?.submitted,
        };
        for page in &pages.interfaces {
            sum += pages.read(page)?.submitted;
        }
        Some(sum)
    }
}

impl Pages {
    fn at(&mut self, id: InterfaceId) -> &mut Page {
        let at = id.0 as usize;
        while self.interfaces.len() <= at {
            self.interfaces.push(Page::Blank);
        }
        &mut self.interfaces[at]
    }

    fn read(&self, page: &Page) -> Option<Counters> {
        match page {
            Page::Blank => Some(Counters::default()),
            Page::Open(ifindex) => self.counters.read(*ifindex).ok(),
            Page::Closed(counters) => Some(*counters),
        }
    }
}
