//! Which finished files an exporter has delivered: retention removes these first.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use capture_file::{
    FileVersion,
    checkpoint::{Checkpoint, Delivered, SUFFIX, Series},
    manifest::FileEntry,
};

/// A sink of an exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSink {
    /// Its name.
    pub name: String,
    /// The exporter's state directory, which is only read.
    pub state_dir: PathBuf,
}

/// What the sink has of one capture's files.
#[derive(Debug)]
pub(crate) struct Exported {
    sink: ExportSink,
    /// The name that the exporter gives to the files of this capture in this directory.
    series: String,
    known: Option<Series>,
    /// When and in which version the checkpoint was read.
    read: Option<(Instant, Option<FileVersion>)>,
}

/// The checkpoint is not looked at more often.
const LOOK: Duration = Duration::from_secs(1);

/// A file that retention may remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removable {
    pub(crate) file: String,
    pub(crate) bytes: u64,
    /// Whether the sink has it, and has compared it.
    pub(crate) exported: bool,
}

impl Exported {
    /// `directory`: that of the capture, below the data directory that the exporter follows.
    pub(crate) fn new(sink: ExportSink, directory: &Path, capture: &str) -> Self {
        let below = directory.file_name().unwrap_or_default().to_string_lossy();
        Self {
            sink,
            series: format!("{below}/{capture}"),
            known: None,
            read: None,
        }
    }

    /// The name of the sink.
    pub(crate) fn sink(&self) -> &str {
        &self.sink.name
    }

    /// The files in the order in which to remove them: first those that the sink has, then those that it lacks, each
    /// with the oldest first.
    pub(crate) fn order<'a>(
        &mut self,
        files: impl Iterator<Item = &'a FileEntry>,
    ) -> Vec<Removable> {
        self.refresh();
        let known = self.known.as_ref();
        let mut order: Vec<_> = files
            .map(|entry| Removable {
                file: entry.file.clone(),
                bytes: entry.bytes,
                exported: known.is_some_and(|series| has(series, entry)),
            })
            .collect();
        order.sort_by_key(|file| !file.exported);
        order
    }

    fn refresh(&mut self) {
        if self.read.is_some_and(|(at, _)| at.elapsed() < LOOK) {
            return;
        }
        let path = self
            .sink
            .state_dir
            .join(format!("{}{SUFFIX}", self.sink.name));
        let version = FileVersion::at(&path);
        let before = self.read.replace((Instant::now(), version));
        if before.is_some_and(|(_, before)| before == version) {
            return;
        }
        self.known = match Checkpoint::read(&path) {
            // What nobody compared is not safe.
            Ok(found) => found
                .filter(|checkpoint| checkpoint.verified)
                .and_then(|mut checkpoint| checkpoint.series.remove(&self.series)),
            Err(error) => {
                tracing::warn!("{error}: no file counts as exported");
                None
            }
        };
    }
}

fn has(series: &Series, entry: &FileEntry) -> bool {
    !series.began_anew(entry) && series.of(entry) == Delivered::Yes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(sequence: u64) -> FileEntry {
        FileEntry {
            first: Some((sequence * 10).into()),
            ..FileEntry::unknown(format!("a-{sequence}"), sequence, 100)
        }
    }

    fn order(exported: &mut Exported) -> Vec<(String, bool)> {
        // Tests do not wait for the next look.
        exported.read = None;
        let entries: Vec<_> = (1..=4).map(entry).collect();
        let order = exported.order(entries.iter());
        order
            .into_iter()
            .map(|file| (file.file, file.exported))
            .collect()
    }

    #[test]
    fn files_that_the_sink_has_and_has_compared_come_first() {
        let state = tempfile::tempdir().expect("directory");
        let sink = ExportSink {
            name: "archive".to_owned(),
            state_dir: state.path().to_owned(),
        };
        let mut exported = Exported::new(sink, Path::new("/data/a"), "a");
        let all = |exported: [(u64, bool); 4]| {
            exported
                .map(|(number, has)| (format!("a-{number}"), has))
                .to_vec()
        };
        let none = all([(1, false), (2, false), (3, false), (4, false)]);
        assert_eq!(order(&mut exported), none, "no checkpoint");

        let mut checkpoint = Checkpoint::new("archive");
        let series = Series {
            through: 2,
            last: 29,
            ahead: [4].into(),
            aside: [(1, aside())].into(),
            ..Series::default()
        };
        checkpoint.series.insert("a/a".to_owned(), series);
        let write = |checkpoint: &Checkpoint| {
            let path = state.path().join("archive.checkpoint.json");
            let text = serde_json::to_vec(checkpoint).expect("JSON");
            fs::write(path, text).expect("written");
        };
        write(&checkpoint);
        assert_eq!(order(&mut exported), none, "acknowledged, but not compared");
        checkpoint.verified = true;
        write(&checkpoint);
        assert_eq!(
            order(&mut exported),
            all([(2, true), (4, true), (1, false), (3, false)]),
            "what was put aside is not exported"
        );
        fs::write(state.path().join("archive.checkpoint.json"), "{").expect("written");
        assert_eq!(order(&mut exported), none, "a damaged checkpoint");
    }

    fn aside() -> capture_file::checkpoint::Aside {
        capture_file::checkpoint::Aside {
            file: "a-1".to_owned(),
            by: capture_file::checkpoint::AsideBy::Sink,
            reason: "too large".to_owned(),
            at: 1.into(),
        }
    }
}
