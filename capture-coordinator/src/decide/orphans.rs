//! Captures without a resource: left by a node that was unreachable when its resource was deleted, or
//! by a resource whose files were kept.

use std::collections::BTreeSet;

use capture_client::model::Capture;

use super::spec::LABEL_UID;

/// The action for a capture without a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphan {
    /// It still runs.
    Stop,
    /// It has ended, and the files that are kept belong to newer captures.
    Delete,
}

/// The actions for the captures of one node. The newest `keep` files of captures without a resource are
/// kept; captures of people are not touched.
pub fn orphans<'a>(
    captures: impl Iterator<Item = &'a Capture>,
    uids: &BTreeSet<String>,
    keep: u32,
) -> Vec<(String, Orphan)> {
    let mut ended = Vec::new();
    let mut found = Vec::new();
    for capture in captures {
        let is_orphan = capture
            .labels
            .get(LABEL_UID)
            .is_some_and(|uid| !uids.contains(uid));
        if !is_orphan {
            continue;
        }
        if capture.has_ended() {
            ended.push(capture);
        } else {
            found.push((capture.name.clone(), Orphan::Stop));
        }
    }
    ended.sort_by_key(|capture| std::cmp::Reverse(capture.end_time));
    let mut files = 0;
    for capture in ended {
        if files >= u64::from(keep) {
            found.push((capture.name.clone(), Orphan::Delete));
        }
        // One without files still uses memory of the node.
        files += capture.files_finished.clamp(1, u64::from(keep));
    }
    found
}
