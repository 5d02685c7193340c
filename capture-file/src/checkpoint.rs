//! What an exporter has delivered of a data directory to one sink: `<sink>.checkpoint.json` in its state
//! directory. `capture-export` writes it; the recorder reads it, to remove first what is safe elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    FileTotals,
    manifest::{FileEntry, Timestamp},
};

/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;
/// The end of the file's name, after the name of the sink.
pub const SUFFIX: &str = ".checkpoint.json";
/// Larger than the checkpoint of any number of captures that a node can have.
const LARGEST: u64 = 64 << 20;
/// Series that are remembered. The one with the oldest packets is forgotten first.
const MOST_SERIES: usize = 10_000;

/// The state of one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// See [`VERSION`].
    pub version: u32,
    /// The name of the sink.
    pub sink: String,
    /// When this was written.
    pub updated: Timestamp,
    /// What was delivered.
    pub delivered: FileTotals,
    /// Whether the sink has read back and compared what it acknowledged.
    pub verified: bool,
    /// Files that retention removed before they were delivered.
    pub missed: u64,
    /// Files of which the sink's index is known to have them, where it can be asked.
    #[serde(default)]
    pub indexed: u64,
    /// Files that were delivered, and are not in that index yet.
    #[serde(default)]
    pub unindexed: VecDeque<Delivery>,
    /// Files that were not in that index for so long that nobody asks any more.
    #[serde(default)]
    pub never_indexed: u64,
    /// When the latest file was delivered, and where it is.
    pub latest: Option<Delivery>,
    /// Why the sink takes nothing at present.
    pub trouble: Option<Trouble>,
    /// What was delivered of each series of files.
    pub series: BTreeMap<String, Series>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The name of the file.
    pub file: String,
    /// Where it is now.
    pub place: String,
    /// When it was acknowledged.
    pub at: Timestamp,
}

/// Why a sink takes nothing at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Attempts without success.
    pub attempts: u32,
    /// The latest reason.
    pub reason: String,
}

/// The files of one capture name in one directory. Their sequence numbers only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// No file up to this number waits any more.
    pub through: u64,
    /// The latest time of a packet of those files, in nanoseconds since 1970-01-01 UTC.
    pub last: u64,
    /// Numbers beyond `through` that were delivered.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<u64>,
    /// Files that were put aside: they are not delivered, and do not wait.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aside: BTreeMap<u64, Aside>,
    /// Files that were delivered.
    #[serde(default)]
    pub delivered: u64,
    /// Files that retention removed before they were delivered.
    #[serde(default)]
    pub missed: u64,
}

/// A file that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Its name.
    pub file: String,
    /// Who put it aside.
    pub by: AsideBy,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Who put a file aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsideBy {
    /// The sink rejected it for good.
    Sink,
    /// A person, with `skip`.
    Person,
}

/// The state of a file at a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The sink has acknowledged it.
    Yes,
    /// It was put aside.
    Aside,
    /// It waits.
    No,
}

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// It is no checkpoint.
    #[error("{path} is no checkpoint that this version can read: {reason}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Checkpoint {
    /// That of a sink which has nothing yet.
    #[must_use]
    pub fn new(sink: &str) -> Self {
        Self {
            version: VERSION,
            sink: sink.to_owned(),
            updated: 0.into(),
            delivered: FileTotals::default(),
            verified: false,
            missed: 0,
            indexed: 0,
            unindexed: VecDeque::new(),
            never_indexed: 0,
            latest: None,
            trouble: None,
            series: BTreeMap::new(),
        }
    }

    /// Reads it; `None` if the sink has none yet.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn read(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let name = path.display().to_string();
        let mut text = Vec::new();
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other,
        };
        let read = file.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
        if let Err(source) = read {
            return Err(CheckpointError::Read { path: name, source });
        }
        let content = |reason: String| CheckpointError::Content { path: name, reason };
        if text.len() as u64 > LARGEST {
            return Err(content("it is larger than 64 MiB".to_owned()));
        }
        match serde_json::from_slice::<Self>(&text) {
            Err(error) => Err(content(error.to_string())),
            Ok(checkpoint) if checkpoint.version != VERSION => Err(content(format!(
                "version {}, and this program knows {VERSION}",
                checkpoint.version
            ))),
            Ok(checkpoint) => Ok(Some(checkpoint)),
        }
    }

    /// The state of a file of a series.
    #[must_use]
    pub fn of(&self, series: &str, entry: &FileEntry) -> Delivered {
        let series = self.series.get(series);
        series.map_or(Delivered::No, |series| series.of(entry))
    }

    /// Forgets the series with the oldest packets, beyond the number that is remembered.
    pub fn forget_oldest(&mut self) {
        while self.series.len() > MOST_SERIES {
            let oldest = self.series.iter().min_by_key(|(_, series)| series.last);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.series.remove(&name);
        }
    }
}

impl Series {
    /// The state of a file.
    #[must_use]
    pub fn of(&self, entry: &FileEntry) -> Delivered {
        if self.aside.contains_key(&entry.sequence) {
            Delivered::Aside
        } else if self.ahead.contains(&entry.sequence) || entry.sequence <= self.through {
            Delivered::Yes
        } else {
            Delivered::No
        }
    }

    /// Whether this file shows that the numbers began anew: somebody removed the directory, and a capture of the
    /// same name made it again. Its number is one that was settled, and its packets are later than all of
    /// those.
    #[must_use]
    pub fn began_anew(&self, entry: &FileEntry) -> bool {
        let first = entry.first.as_ref().map(|time| time.nanoseconds);
        entry.sequence <= self.through && first.is_some_and(|first| first > self.last)
    }

    /// Moves `through` up to the file before the first one that waits, or to the last settled one if none waits.
    /// Returns how many numbers it passed that nobody ever settled: files that were removed before.
    pub fn advance(&mut self, first_waiting: Option<u64>) -> u64 {
        let settled = self.ahead.last().max(self.aside.keys().next_back());
        let Some(to) = settled.copied().filter(|settled| *settled > self.through) else {
            return 0;
        };
        let to = first_waiting.map_or(to, |first| to.min(first.saturating_sub(1)));
        self.pass(to)
    }

    /// Moves `through` up to the file before the first one that exists. Returns how many numbers it passed that nobody
    /// ever settled: files that were removed before.
    pub fn begin_at(&mut self, first: u64) -> u64 {
        self.pass(first.saturating_sub(1))
    }

    fn pass(&mut self, to: u64) -> u64 {
        if to <= self.through {
            return 0;
        }
        let passed =
            self.ahead.range(..=to).count() + self.aside.range(self.through + 1..=to).count();
        let missed = (to - self.through).saturating_sub(passed as u64);
        self.ahead = self.ahead.split_off(&(to + 1));
        self.through = to;
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, first: u64) -> FileEntry {
        FileEntry {
            first: Some(first.into()),
            ..FileEntry::unknown(format!("a-{sequence}"), sequence, 1)
        }
    }

    #[test]
    fn the_checkpoint_moves_only_past_files_that_do_not_wait() {
        let mut series = Series::default();
        series.ahead.extend([1, 2, 4]);
        assert_eq!(series.advance(Some(3)), 0);
        assert_eq!((series.through, series.ahead.len()), (2, 1));
        assert_eq!(series.of(&entry(3, 1)), Delivered::No);
        assert_eq!(series.of(&entry(4, 1)), Delivered::Yes);
        series.ahead.insert(3);
        assert_eq!(series.advance(None), 0);
        assert_eq!((series.through, series.ahead.len()), (4, 0));
    }

    #[test]
    fn files_that_were_removed_before_they_were_delivered_are_counted() {
        let mut series = Series::default();
        series.ahead.extend([1, 5]);
        assert_eq!(series.advance(Some(7)), 3, "2, 3 and 4");
        assert_eq!(series.through, 5);
        series.ahead.extend([7, 9]);
        assert_eq!(series.begin_at(4), 0);
        assert_eq!(series.begin_at(9), 2, "6 and 8");
        assert_eq!((series.through, series.ahead.len()), (8, 1));
    }

    #[test]
    fn a_series_that_began_anew_is_recognised_by_its_times() {
        let series = Series {
            through: 9,
            last: 1000,
            ..Series::default()
        };
        assert!(!series.began_anew(&entry(9, 990)));
        assert!(series.began_anew(&entry(1, 1001)));
        assert!(!series.began_anew(&entry(10, 1001)));
    }

    #[test]
    fn a_checkpoint_is_read_back_and_a_later_version_is_not_misread() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.checkpoint.json");
        assert!(Checkpoint::read(&path).unwrap().is_none());
        let mut checkpoint = Checkpoint::new("a");
        checkpoint
            .series
            .insert("x/x".to_owned(), Series::default());
        std::fs::write(&path, serde_json::to_vec(&checkpoint).unwrap()).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), Some(checkpoint.clone()));
        checkpoint.version = 2;
        std::fs::write(&path, serde_json::to_vec(&checkpoint).unwrap()).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
