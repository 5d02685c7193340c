//! The memory that clients may use in the daemon: request bodies, and streams that they have not read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Status;

/// Bytes of memory for all clients. A single client gets at most half of it.
#[derive(Debug)]
pub struct ClientMemory {
    limit: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    by_client: HashMap<Arc<str>, u64>,
}

/// Memory of a request or a stream; released when it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: Arc<ClientMemory>,
    who: Arc<str>,
    bytes: u64,
}

/// Not enough memory is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MemoryError {
    /// The client's share is used up.
    #[error(
        "this client uses its share of the memory for clients, {share} bytes; end a request or a \
         stream, or raise limits.client_memory"
    )]
    Client {
        /// Bytes of a share.
        share: u64,
    },
    /// The total is used up.
    #[error(
        "clients use all of their memory, {limit} bytes; try again later, or \
         raise limits.client_memory"
    )]
    All {
        /// Bytes.
        limit: u64,
    },
}

impl From<MemoryError> for Status {
    fn from(error: MemoryError) -> Self {
        Self::resource_exhausted(error.to_string())
    }
}

impl ClientMemory {
    /// A budget of `limit` bytes with nothing in use.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Mutex::default(),
        })
    }

    /// The limit in bytes.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().total
    }

    /// Reserves memory for a client.
    pub(super) fn reserve(
        self: &Arc<Self>,
        who: &Arc<str>,
        bytes: u64,
    ) -> Result<Reserved, MemoryError> {
        let mut reserved = Reserved {
            memory: Arc::clone(self),
            who: Arc::clone(who),
            bytes: 0,
        };
        reserved.grow(bytes)?;
        Ok(reserved)
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        // Total and share change together: a panic elsewhere leaves them consistent.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Reserves more.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), MemoryError> {
        let (limit, share) = (self.memory.limit, self.memory.limit / 2);
        let mut used = self.memory.lock();
        if used.total.saturating_add(bytes) > limit {
            return Err(MemoryError::All { limit });
        }
        let own = used.by_client.get(&self.who).copied().unwrap_or(0);
        if own.saturating_add(bytes) > share {
            return Err(MemoryError::Client { share });
        }
        used.total += bytes;
        used.by_client.insert(Arc::clone(&self.who), own + bytes);
        drop(used);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut used = self.memory.lock();
        used.total -= self.bytes;
        if let Some(own) = used.by_client.get_mut(&self.who) {
            *own -= self.bytes;
            if *own == 0 {
                used.by_client.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_share_and_leaves_the_rest_to_others() {
        let memory = ClientMemory::new(100);
        let (alice, eve) = (Arc::from("alice"), Arc::from("eve"));
        let mut first = memory.reserve(&eve, 30).expect("fits");
        first.grow(20).expect("fits");
        assert_eq!(first.grow(1), Err(MemoryError::Client { share: 50 }));
        let second = memory.reserve(&alice, 50).expect("fits");
        let all = memory.reserve(&Arc::from("bob"), 1);
        assert_eq!(
            all.expect_err("nothing left"),
            MemoryError::All { limit: 100 }
        );
        drop(first);
        assert_eq!(memory.used(), 50);
        drop(second);
        assert_eq!(memory.used(), 0);
        assert!(memory.lock().by_client.is_empty());
    }
}
