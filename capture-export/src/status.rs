//! What each sink has, as its checkpoint and the data directory say; no exporter needs to run.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use capture_file::checkpoint::{Aside, Delivery, Trouble};
use serde::Serialize;

use crate::{checkpoint::Ledger, follow::Follower, settings::Settings, worker};

/// Files put aside that are listed for each sink.
const MOST_LISTED: usize = 100;

/// The status of one sink.
#[derive(Debug, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub sink: String,
    /// Its kind.
    pub kind: &'static str,
    /// Files that were delivered.
    pub delivered_files: u64,
    /// Bytes in them.
    pub delivered_bytes: u64,
    /// Packets in them, as far as known.
    pub delivered_packets: u64,
    /// Whether the sink reads back what it acknowledges.
    pub verified: bool,
    /// Files that are indexed by what is behind the sink, where it can be asked.
    pub indexed_files: u64,
    /// Files that were delivered, and are not indexed yet.
    pub unindexed_files: u64,
    /// Files that were delivered, and were not indexed for a day.
    pub never_indexed_files: u64,
    /// Files that wait.
    pub waiting_files: u64,
    /// Bytes in them.
    pub waiting_bytes: u64,
    /// Age of the latest packet of the oldest file that waits, in seconds.
    pub oldest_waiting_seconds: u64,
    /// Files that were put aside.
    pub aside_files: u64,
    /// Some of them.
    pub aside: Vec<Aside>,
    /// Files that retention removed before they were delivered.
    pub missed_files: u64,
    /// The latest delivery.
    pub latest: Option<Delivery>,
    /// Why nothing is delivered at present.
    pub trouble: Option<Trouble>,
}

/// The status of every sink.
///
/// # Errors
/// The data directory or a checkpoint cannot be read.
pub fn of(settings: &Settings) -> Result<Vec<SinkStatus>> {
    let mut follower = Follower::new(&settings.data_dir, Arc::new(settings.origin.clone()));
    let whole = follower
        .scan()
        .with_context(|| format!("data_dir {}", settings.data_dir.display()))?;
    let mut found = Vec::new();
    for (name, sink) in &settings.sinks {
        let mut ledger = Ledger::open(&settings.state_dir, name)?;
        let snapshot = whole.of(&sink.route(name));
        // In memory only: this program may not be the one that writes it.
        ledger.observe(&snapshot);
        let backlog = worker::backlog(&ledger, &ledger.waiting(&snapshot));
        let state = ledger.state();
        let aside = state
            .series
            .values()
            .flat_map(|series| series.aside.values());
        found.push(SinkStatus {
            sink: name.clone(),
            kind: sink.kind(),
            delivered_files: state.delivered.files,
            delivered_bytes: state.delivered.bytes,
            delivered_packets: state.delivered.packets,
            verified: state.verified,
            indexed_files: state.indexed,
            unindexed_files: state.unindexed.len() as u64,
            never_indexed_files: state.never_indexed,
            waiting_files: backlog.files,
            waiting_bytes: backlog.bytes,
            oldest_waiting_seconds: backlog.age,
            aside_files: backlog.aside,
            aside: aside.take(MOST_LISTED).cloned().collect(),
            missed_files: backlog.missed,
            latest: state.latest.clone(),
            trouble: state.trouble.clone(),
        });
    }
    Ok(found)
}
