//! Following captures: the current list, then changes. A slow reader delays nobody: it gets only
//! the newest state of each capture when it asks.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::{
    Inner,
    capture::{Capture, Revision},
};
use capture_types::CaptureName;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureChange {
    /// The capture is new to the reader.
    Added,
    /// Its state, request, labels or the states of its pods changed.
    Changed,
    /// It was deleted.
    Deleted,
}

/// One reader.
pub struct Follower {
    inner: Arc<Inner>,
    version: watch::Receiver<u64>,
    seen: BTreeMap<CaptureName, (Arc<Capture>, Revision)>,
}

impl Follower {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let version = inner.version.subscribe();
        Self {
            inner,
            version,
            seen: BTreeMap::new(),
        }
    }

    /// The captures changed since the last call; on the first call, all captures are added.
    pub fn changes(&mut self) -> Vec<(CaptureChange, Arc<Capture>)> {
        self.version.mark_unchanged();
        let now = self.inner.captures().clone();
        let mut changes = Vec::new();
        self.seen.retain(|name, (capture, _)| {
            let same = now
                .get(name)
                .is_some_and(|present| Arc::ptr_eq(present, capture));
            if !same {
                changes.push((CaptureChange::Deleted, Arc::clone(capture)));
            }
            same
        });
        for (name, capture) in now {
            let revision = capture.revision();
            match self.seen.get_mut(&name) {
                None => {
                    self.seen.insert(name, (Arc::clone(&capture), revision));
                    changes.push((CaptureChange::Added, capture));
                }
                Some((_, seen)) if *seen != revision => {
                    *seen = revision;
                    changes.push((CaptureChange::Changed, capture));
                }
                Some(_) => {}
            }
        }
        changes
    }

    /// Waits until something may have changed. Cancel safe.
    pub async fn changed(&mut self) {
        if self.version.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
