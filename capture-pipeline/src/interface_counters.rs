//! The kernel's half of the ledger, by interface of the capture, present and removed ones.

use std::sync::{Mutex, MutexGuard, PoisonError};

use capture_common::{Counters, UNKNOWN_INTERFACE};

use super::packet::InterfaceId;
use capture_kernel::counters::{CountersError, KernelCounters};

/// The counters of each interface of a capture.
///
/// Shared by the session, which opens and closes interfaces, and the drain thread, which writes
/// statistics into files. The lock is taken a few times a second at most, never for a packet.
pub struct InterfaceCounters(Mutex<Table>);

struct Table {
    kernel: KernelCounters,
    /// By [`InterfaceId`].
    entries: Vec<Entry>,
}

enum Entry {
    /// The interface has no counters of its own.
    Unused,
    /// Attached, or about to be: the counters are in the kernel, under this ifindex.
    Open(u32),
    /// Detached: the last values.
    Closed(Counters),
}

impl InterfaceCounters {
    /// The counters of a capture that has no interfaces yet.
    #[must_use]
    pub fn new(kernel: KernelCounters) -> Self {
        Self(Mutex::new(Table {
            kernel,
            entries: Vec::new(),
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere leaves whole entries: the counters stay valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the counters of an interface at 0.
    ///
    /// # Errors
    ///
    /// The kernel has no room for them.
    pub fn open(&self, id: InterfaceId, ifindex: u32) -> Result<(), CountersError> {
        let mut table = self.table();
        table.kernel.open(ifindex)?;
        *table.entry(id) = Entry::Open(ifindex);
        Ok(())
    }

    /// Assigns the counters of packets from unknown interfaces to `id`, unless another entry has them.
    pub fn open_unknown(&self, id: InterfaceId) {
        let mut table = self.table();
        if !table.has_unknown() {
            *table.entry(id) = Entry::Open(UNKNOWN_INTERFACE);
        }
    }

    /// Reads an interface's counters for the last time and frees them. Nothing may be attached to the
    /// interface any more.
    ///
    /// # Errors
    ///
    /// The counters could not be read or freed.
    pub fn close(&self, id: InterfaceId) -> Result<(), CountersError> {
        let mut table = self.table();
        let Table { kernel, entries } = &mut *table;
        if let Some(entry) = entries.get_mut(id.0 as usize)
            && let Entry::Open(ifindex) = *entry
        {
            let last = kernel.read(ifindex)?;
            *entry = Entry::Closed(last);
            kernel.close(ifindex)?;
        }
        Ok(())
    }

    /// An interface's counters as they are now; `None` if they cannot be read.
    #[must_use]
    pub fn read(&self, id: InterfaceId) -> Option<Counters> {
        let table = self.table();
        table.read(table.entries.get(id.0 as usize)?)
    }

    /// Packets of the daemon's own connections that were excluded, on all interfaces together;
    /// unreadable counters are left out.
    #[must_use]
    pub fn own(&self) -> u64 {
        let table = self.table();
        let own = |entry| table.read(entry).map_or(0, |counters| counters.own);
        table.entries.iter().map(own).sum()
    }

    /// Packets put into the ring buffer so far, all interfaces together; `None` if a counter cannot be
    /// read.
    #[must_use]
    pub fn submitted(&self) -> Option<u64> {
        let table = self.table();
        let mut sum = match table.has_unknown() {
            true => 0,
            false => table.kernel.read(UNKNOWN_INTERFACE).ok()?.submitted,
        };
        for entry in &table.entries {
            sum += table.read(entry)?.submitted;
        }
        Some(sum)
    }
}

impl Table {
    fn entry(&mut self, id: InterfaceId) -> &mut Entry {
        let at = id.0 as usize;
        while self.entries.len() <= at {
            self.entries.push(Entry::Unused);
        }
        &mut self.entries[at]
    }

    /// Whether an entry has the counters of packets from unknown interfaces.
    fn has_unknown(&self) -> bool {
        let unknown = |entry: &Entry| matches!(entry, Entry::Open(UNKNOWN_INTERFACE));
        self.entries.iter().any(unknown)
    }

    fn read(&self, entry: &Entry) -> Option<Counters> {
        match entry {
            Entry::Unused => Some(Counters::default()),
            Entry::Open(ifindex) => self.kernel.read(*ifindex).ok(),
            Entry::Closed(counters) => Some(*counters),
        }
    }
}
