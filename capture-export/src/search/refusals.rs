//! Documents with which the cluster refuses a whole request. Only a cluster that takes other requests meanwhile refuses
//! such a document for what is in it; one that refuses everything has another problem.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Documents that are remembered; beyond this all are forgotten, and wait for one more attempt.
const MOST: usize = 1000;

/// What one cluster took and refused, of all files.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    taken: AtomicU64,
    /// What had been taken when a document was refused first, by its id.
    refused: Mutex<HashMap<Vec<u8>, u64>>,
}

impl Refusals {
    /// Requests that the cluster took so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// The cluster took documents of a request, or a request without documents.
    pub(super) fn count_taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Whether the cluster took others since it refused this document: in this attempt, which began after so many
    /// requests, or since an earlier one.
    pub(super) fn is_at_fault(&self, id: &[u8], before: u64) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST && !refused.contains_key(id) {
            refused.clear();
        }
        let first = refused.entry(id.to_owned()).or_insert(before);
        let is_at_fault = self.taken() > (*first).min(before);
        if is_at_fault {
            refused.remove(id);
        }
        is_at_fault
    }

    /// A document has an outcome.
    pub(super) fn forget(&self, id: &[u8]) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;

    #[test]
    fn a_document_is_to_blame_only_when_others_are_taken() {
        let refused = Refusals::default();
        let before = refused.taken();
        assert!(!refused.is_at_fault(b"a", before), "nothing is taken");
        refused.count_taken();
        assert!(refused.is_at_fault(b"a", refused.taken()), "others were");
        let before = refused.taken();
        assert!(!refused.is_at_fault(b"b", before));
        refused.count_taken();
        assert!(refused.is_at_fault(b"c", before), "in the same attempt");
    }
}
