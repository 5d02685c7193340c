//! The index of the cluster, shared by readers and the watchers that update it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::Index;

/// The index of the cluster.
#[derive(Debug, Default)]
pub struct Cluster(Mutex<Index>);

impl Cluster {
    /// The index. Locked only for single look-ups and changes, never across a call.
    pub fn lock(&self) -> MutexGuard<'_, Index> {
        // Each change is made as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
