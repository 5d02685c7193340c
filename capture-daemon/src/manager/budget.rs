//! Resources shared by captures: number of captures, ring memory, disk, readers.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Captures that are pending, running or stopping.
    pub active_captures: u32,
    /// Captures in the list, including ended ones.
    pub captures: u32,
    /// Bytes of ring buffers.
    pub ring_bytes: u64,
    /// Bytes of capture files; 0 for no limit.
    pub disk_bytes: u64,
    /// Readers of packets.
    pub packet_readers: u32,
    /// File descriptors of captures.
    pub descriptors: u64,
}

/// The resources in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    /// Captures that are pending, running or stopping.
    pub active_captures: u32,
    /// Bytes of ring buffers.
    pub ring_bytes: u64,
    /// Bytes of capture files, as last measured.
    pub disk_bytes: u64,
    /// Bytes free on the file system of the capture files, as last measured.
    pub disk_free_bytes: Option<u64>,
    /// Readers of packets.
    pub packet_readers: u32,
    /// File descriptors of captures.
    pub descriptors: u64,
}

/// A limit was reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Captures that are active.
    #[error("{limit} captures are active, which is the limit (limits.active_captures); stop one")]
    Active {
        /// The limit.
        limit: u32,
    },
    /// Captures that are known.
    #[error("there are {limit} captures, which is the limit (limits.captures); delete one")]
    Known {
        /// The limit.
        limit: u32,
    },
    /// Ring memory.
    #[error(
        "ring_size: {asked} bytes are needed, and {taken} of {limit} bytes of ring memory are in use \
         (limits.ring_memory); ask for a smaller ring, or stop a capture"
    )]
    Ring {
        /// Bytes of the capture's rings.
        asked: u64,
        /// Bytes in use.
        taken: u64,
        /// The limit.
        limit: u64,
    },
    /// File descriptors.
    #[error(
        "the capture needs {asked} file descriptors, and {taken} of {limit} are reserved; raise the \
         limit of the process (LimitNOFILE= of systemd, ulimit -n), name fewer interfaces, or stop a \
         capture"
    )]
    Descriptors {
        /// Descriptors that the capture may need.
        asked: u64,
        /// Descriptors in use.
        taken: u64,
        /// The limit.
        limit: u64,
    },
    /// Disk.
    #[error("capture files take {taken} of {limit} bytes (limits.disk); delete captures or files")]
    Disk {
        /// Bytes in use.
        taken: u64,
        /// The limit.
        limit: u64,
    },
    /// Readers.
    #[error("there are {limit} readers of packets, which is the limit (limits.packet_readers)")]
    Readers {
        /// The limit.
        limit: u32,
    },
}

/// The resources of all active captures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Active {
    captures: u32,
    ring: u64,
    descriptors: u64,
}

/// Accounts for shared resources.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    active: Mutex<Active>,
    disk: AtomicU64,
    /// `u64::MAX` until it is known.
    disk_free: AtomicU64,
    readers: AtomicU32,
}

impl Budget {
    /// A budget with nothing in use.
    #[must_use]
    pub fn new(limits: BudgetLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            active: Mutex::default(),
            disk: AtomicU64::new(0),
            disk_free: AtomicU64::new(u64::MAX),
            readers: AtomicU32::new(0),
        })
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> BudgetLimits {
        self.limits
    }

    /// The resources in use now.
    #[must_use]
    pub fn usage(&self) -> BudgetUsage {
        let active = *self.active();
        BudgetUsage {
            active_captures: active.captures,
            ring_bytes: active.ring,
            descriptors: active.descriptors,
            disk_bytes: self.disk.load(Relaxed),
            disk_free_bytes: Some(self.disk_free.load(Relaxed)).filter(|free| *free != u64::MAX),
            packet_readers: self.readers.load(Relaxed),
        }
    }

    /// Reserves the resources of one capture, until the share is dropped.
    pub fn take(self: &Arc<Self>, ring: u64, descriptors: u64) -> Result<Share, Exhausted> {
        self.check_disk()?;
        let mut active = self.active();
        if active.captures >= self.limits.active_captures {
            return Err(Exhausted::Active {
                limit: self.limits.active_captures,
            });
        }
        let after = Active {
            captures: active.captures + 1,
            ring: active.ring.saturating_add(ring),
            descriptors: active.descriptors.saturating_add(descriptors),
        };
        if after.ring > self.limits.ring_bytes {
            return Err(Exhausted::Ring {
                asked: ring,
                taken: active.ring,
                limit: self.limits.ring_bytes,
            });
        }
        if after.descriptors > self.limits.descriptors {
            return Err(Exhausted::Descriptors {
                asked: descriptors,
                taken: active.descriptors,
                limit: self.limits.descriptors,
            });
        }
        *active = after;
        Ok(Share {
            budget: Arc::clone(self),
            ring,
            descriptors,
        })
    }

    /// Reserves a reader, until it is dropped.
    pub fn take_reader(self: &Arc<Self>) -> Result<ReaderShare, Exhausted> {
        let limit = self.limits.packet_readers;
        self.readers
            .fetch_update(Relaxed, Relaxed, |readers| {
                (readers < limit).then_some(readers + 1)
            })
            .map(|_| ReaderShare(Arc::clone(self)))
            .map_err(|_| Exhausted::Readers { limit })
    }

    /// Whether the files are within their limit.
    pub fn check_disk(&self) -> Result<(), Exhausted> {
        let (taken, limit) = (self.disk.load(Relaxed), self.limits.disk_bytes);
        if limit != 0 && taken >= limit {
            Err(Exhausted::Disk { taken, limit })
        } else {
            Ok(())
        }
    }

    pub(super) fn set_disk(&self, bytes: u64, free: Option<u64>) {
        self.disk.store(bytes, Relaxed);
        self.disk_free.store(free.unwrap_or(u64::MAX), Relaxed);
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        // All numbers are set at once: a panic elsewhere leaves them consistent.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resources reserved by a capture.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    ring: u64,
    descriptors: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut active = self.budget.active();
        *active = Active {
            captures: active.captures - 1,
            ring: active.ring - self.ring,
            descriptors: active.descriptors - self.descriptors,
        };
    }
}

/// A reserved reader.
#[derive(Debug)]
pub struct ReaderShare(Arc<Budget>);

impl Drop for ReaderShare {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, BudgetLimits, BudgetUsage, Exhausted};

    const LIMITS: BudgetLimits = BudgetLimits {
        active_captures: 2,
        captures: 10,
        ring_bytes: 100,
        disk_bytes: 50,
        packet_readers: 1,
        descriptors: 100,
    };

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let budget = Budget::new(LIMITS);
        let first = budget.take(60, 10).expect("fits");
        assert!(matches!(
            budget.take(41, 10),
            Err(Exhausted::Ring { taken: 60, .. })
        ));
        let second = budget.take(40, 10).expect("fits");
        assert!(matches!(
            budget.take(0, 0),
            Err(Exhausted::Active { limit: 2 })
        ));
        drop(first);
        budget.take(60, 10).expect("fits again");
        assert!(matches!(
            budget.take(1, 91),
            Err(Exhausted::Descriptors { taken: 10, .. })
        ));
        drop(second);
        let reader = budget.take_reader().expect("the first");
        assert!(budget.take_reader().is_err());
        drop(reader);
        budget.take_reader().expect("the next");
        assert_eq!(budget.usage(), BudgetUsage::default());
    }

    #[test]
    fn a_full_disk_budget_refuses_new_captures_and_0_means_no_limit() {
        let budget = Budget::new(LIMITS);
        budget.set_disk(50, None);
        assert!(matches!(
            budget.take(1, 1),
            Err(Exhausted::Disk {
                taken: 50,
                limit: 50
            })
        ));
        let endless = Budget::new(BudgetLimits {
            disk_bytes: 0,
            ..LIMITS
        });
        endless.set_disk(u64::MAX, Some(7));
        assert_eq!(endless.usage().disk_free_bytes, Some(7));
        endless.take(1, 1).expect("no limit");
    }
}
