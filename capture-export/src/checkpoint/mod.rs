//! The durable state of one sink: which files it has.

mod durable;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use capture_file::{
    checkpoint::{
        Aside, AsideBy, Checkpoint, CheckpointError, Delivered, Delivery, SUFFIX, Series, Trouble,
    },
    manifest::Timestamp,
};
use capture_types::time;

pub use durable::{replace, sync_directory};

use crate::{
    file::FinishedFile,
    follow::Snapshot,
    sink::{Indexed, Receipt},
};

/// The checkpoint of a sink, in memory and on disk.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    state: Checkpoint,
    /// Files that were missed when the log told it last while nothing was delivered.
    told: u64,
}

/// Files that are asked about; beyond this the oldest ones are given up.
const MOST_UNINDEXED: usize = 1000;
/// An index that has not taken a file after a day, in nanoseconds, will not take it.
const LONGEST_UNINDEXED: u64 = 24 * 3600 * 1_000_000_000;

/// The path of a sink's checkpoint in a state directory.
#[must_use]
pub fn path(state_dir: &Path, sink: &str) -> PathBuf {
    state_dir.join(format!("{sink}{SUFFIX}"))
}

fn now() -> Timestamp {
    time::now().into()
}

impl Ledger {
    /// Opens the checkpoint of a sink, or begins one.
    ///
    /// # Errors
    /// It cannot be read, or is damaged: then move it aside, and the sink gets every file again.
    pub fn open(state_dir: &Path, sink: &str) -> Result<Self, CheckpointError> {
        let path = path(state_dir, sink);
        let state = Checkpoint::read(&path)?.unwrap_or_else(|| Checkpoint::new(sink));
        Ok(Self {
            path,
            told: state.missed,
            state,
        })
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &Checkpoint {
        &self.state
    }

    /// Files that wait, the oldest first.
    #[must_use]
    pub fn waiting(&self, snapshot: &Snapshot) -> Vec<Arc<FinishedFile>> {
        let files = snapshot.files.iter();
        files
            .filter(|file| self.state.of(&file.series, &file.entry) == Delivered::No)
            .cloned()
            .collect()
    }

    /// Takes note of the files that exist: a series that is new begins at its first file, one that began anew is
    /// forgotten, files that were removed since are missed, and files put aside that no longer exist are forgotten:
    /// those that the sink rejected, or that were not found, are missed then, those that a person skipped are not.
    /// Returns whether something has changed.
    pub fn observe(&mut self, snapshot: &Snapshot) -> bool {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        let before = self.state.series.len();
        let mut changed = false;
        for name in &snapshot.elsewhere {
            // What comes back from there is delivered again, which is harmless, and was not missed.
            self.state.series.remove(name);
        }
        for file in &snapshot.files {
            let entry = &file.entry;
            let number = first.entry(&file.series).or_insert(entry.sequence);
            *number = (*number).min(entry.sequence);
            let known = self.state.series.get(&file.series);
            if known.is_some_and(|series| series.began_anew(entry)) {
                tracing::info!(
                    "{}: the capture began anew at number {}",
                    file.series,
                    entry.sequence
                );
                self.state.series.remove(&file.series);
                changed = true;
            }
        }
        for (name, number) in first {
            let series = match self.state.series.entry(name.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Series {
                    through: number.saturating_sub(1),
                    ..Series::default()
                }),
            };
            let passed = series.begin_at(number);
            let kept = series.aside.split_off(&number);
            let removed = std::mem::replace(&mut series.aside, kept);
            let rejected = removed.values().filter(|aside| aside.by == AsideBy::Sink);
            let missed = passed + rejected.count() as u64;
            series.missed += missed;
            self.state.missed += missed;
            changed |= missed > 0 || !removed.is_empty();
        }
        changed |= self.state.series.len() != before;
        self.state.forget_oldest();
        // A sink that is down for ever would fill the log.
        if self.state.missed > self.told.saturating_mul(2) {
            self.told = self.state.missed;
            tracing::warn!(
                "{} files so far were removed before {} got them",
                self.told,
                self.state.sink
            );
        }
        changed
    }

    /// The sink has acknowledged a file.
    pub fn delivered(&mut self, file: &FinishedFile, receipt: &Receipt, snapshot: &Snapshot) {
        let entry = &file.entry;
        self.state
            .delivered
            .add(entry.packets.unwrap_or(0), entry.bytes);
        self.state.verified = receipt.verified;
        self.state.trouble = None;
        self.state.latest = Some(Delivery {
            file: entry.file.clone(),
            place: receipt.place.clone(),
            at: now(),
        });
        let series = self.state.series.entry(file.series.clone()).or_default();
        series.ahead.insert(entry.sequence);
        series.delivered += 1;
        self.settled(file, snapshot);
    }

    /// The latest file is not in the index of the sink yet: somebody asks later.
    pub fn index_later(&mut self) {
        let state = &mut self.state;
        if state.unindexed.len() == MOST_UNINDEXED {
            state.unindexed.pop_front();
            state.never_indexed += 1;
        }
        state.unindexed.extend(state.latest.clone());
    }

    /// The file that was asked about longest ago.
    #[must_use]
    pub fn next_unindexed(&self) -> Option<Receipt> {
        self.state.unindexed.front().map(|delivery| Receipt {
            place: delivery.place.clone(),
            verified: false,
        })
    }

    /// What the sink says of [`Ledger::next_unindexed`]. Returns whether it is settled.
    pub fn asked(&mut self, indexed: Indexed) -> bool {
        let state = &mut self.state;
        let Some(delivery) = state.unindexed.pop_front() else {
            return false;
        };
        let age = now().nanoseconds.saturating_sub(delivery.at.nanoseconds);
        match indexed {
            Indexed::Yes => state.indexed += 1,
            _ if age > LONGEST_UNINDEXED => state.never_indexed += 1,
            Indexed::No | Indexed::Unknown => {
                state.unindexed.push_back(delivery);
                return false;
            }
        }
        true
    }

    /// Puts a file aside.
    pub fn aside(&mut self, file: &FinishedFile, by: AsideBy, reason: &str, snapshot: &Snapshot) {
        let aside = Aside {
            file: file.entry.file.clone(),
            by,
            reason: reason.to_owned(),
            at: now(),
        };
        let series = self.state.series.entry(file.series.clone()).or_default();
        series.aside.insert(file.entry.sequence, aside);
        self.settled(file, snapshot);
    }

    /// Lets files that were put aside wait again; all of them, or those with this name. Returns how many.
    pub fn retry(&mut self, name: Option<&str>) -> usize {
        let mut number = 0;
        for series in self.state.series.values_mut() {
            let chosen: Vec<u64> = series
                .aside
                .iter()
                .filter(|(_, aside)| name.is_none_or(|name| name == aside.file))
                .map(|(sequence, _)| *sequence)
                .collect();
            for sequence in chosen {
                series.aside.remove(&sequence);
                number += 1;
                // What was settled after it is remembered one by one again.
                if sequence <= series.through {
                    let aside = &series.aside;
                    let later = sequence + 1..=series.through;
                    let delivered: Vec<u64> =
                        later.filter(|later| !aside.contains_key(later)).collect();
                    series.ahead.extend(delivered);
                    series.through = sequence - 1;
                }
            }
        }
        self.state.trouble = None;
        number
    }

    /// The sink takes nothing at present. Returns whether this is news.
    pub fn trouble(&mut self, reason: &str) -> bool {
        match &mut self.state.trouble {
            Some(trouble) => {
                trouble.attempts = trouble.attempts.saturating_add(1);
                let news = trouble.reason != reason;
                reason.clone_into(&mut trouble.reason);
                news
            }
            none => {
                *none = Some(Trouble {
                    since: now(),
                    attempts: 1,
                    reason: reason.to_owned(),
                });
                true
            }
        }
    }

    /// Writes the checkpoint, durably.
    ///
    /// # Errors
    /// The file system's error.
    pub fn save(&mut self) -> std::io::Result<()> {
        self.state.updated = now();
        let text = serde_json::to_vec(&self.state).map_err(std::io::Error::other)?;
        replace(&self.path, &text)
    }

    fn settled(&mut self, file: &FinishedFile, snapshot: &Snapshot) {
        let Some(series) = self.state.series.get_mut(&file.series) else {
            return;
        };
        series.last = series.last.max(file.time());
        let of_series = snapshot
            .files
            .iter()
            .filter(|other| other.series == file.series);
        let waiting = of_series.filter(|other| series.of(&other.entry) == Delivered::No);
        let first = waiting.map(|other| other.entry.sequence).min();
        let missed = series.advance(first);
        if missed > 0 {
            series.missed += missed;
            self.state.missed += missed;
            tracing::warn!(
                "{}: {missed} files were removed before {} got them",
                file.series,
                self.state.sink
            );
        }
    }
}

#[cfg(test)]
mod tests;
