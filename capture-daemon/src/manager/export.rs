//! What the sinks of an exporter have of the files of captures that name them, from the exporter's checkpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::OFlags;
use tokio::time::{Instant, sleep};

use super::{Capture, Manager, files::blocking};
use crate::cut::cut;
use capture_file::{
    FileVersion,
    checkpoint::{Checkpoint, Delivered, SUFFIX, Series},
    manifest::{FileEntry, Manifest},
    name::PART,
};
use capture_types::{CaptureName, SinkName};

/// What a sink has of the files of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportState {
    /// The sink.
    pub sink: SinkName,
    /// Files that it has acknowledged, including those removed since.
    pub delivered: u64,
    /// Files that wait.
    pub waiting: u64,
    /// Files that were put aside.
    pub aside: u64,
    /// Files that were removed before they were delivered.
    pub missed: u64,
    /// Why nothing is delivered at present; empty if nothing is known to hinder it.
    pub message: String,
}

/// Checkpoints are not looked at more often.
const LOOK: Duration = Duration::from_secs(1);
/// Of the time, at most this part is spent on it.
const SHARE: u32 = 20;
/// The longest text about a sink.
const LONGEST: usize = 500;
/// Larger than a manifest of a million files.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// A capture and the sinks that it names.
struct Named {
    capture: Arc<Capture>,
    name: CaptureName,
    sinks: Vec<SinkName>,
}

impl Manager {
    /// Follows the checkpoints of the sinks that captures name, until the daemon ends.
    pub async fn watch_exports(&self) {
        let mut version = self.inner.version.subscribe();
        let settings = &self.inner.settings;
        let mut looks = Looks::new(&settings.export_state_dir, &settings.data_dir);
        loop {
            version.mark_unchanged();
            let (named, others): (Vec<_>, Vec<_>) = self
                .list()
                .into_iter()
                .map(named)
                .partition(|one| !one.sinks.is_empty());
            // Captures that name none any more.
            let mut changed = false;
            for other in others {
                changed |= other.capture.set_export(Vec::new());
            }
            if changed {
                self.inner.announce();
            }
            if named.is_empty() {
                looks.forget();
                if version.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let began = Instant::now();
            let looked = blocking(move || {
                let news = looks.look(&named);
                Ok((looks, news))
            });
            let Ok((next, news)) = looked.await else {
                return tracing::error!("looking at checkpoints of the exporter failed");
            };
            looks = next;
            let mut changed = false;
            for (capture, states) in news {
                changed |= capture.set_export(states);
            }
            if changed {
                self.inner.announce();
            }
            sleep(LOOK.max(began.elapsed() * SHARE)).await;
        }
    }
}

fn named(capture: Arc<Capture>) -> Named {
    let (name, sinks) = capture.export_names();
    Named {
        capture,
        name,
        sinks,
    }
}

/// Files that were read, and are read again only when they have changed.
struct Looks {
    state_dir: PathBuf,
    data_dir: PathBuf,
    /// The names of captures that the checkpoints were read for.
    names: BTreeSet<CaptureName>,
    checkpoints: BTreeMap<SinkName, Known>,
    seen: BTreeMap<CaptureName, Seen>,
    /// Incremented with each checkpoint that is read.
    reads: u64,
}

/// A checkpoint.
struct Known {
    version: Option<FileVersion>,
    read: u64,
    /// Of the named captures alone.
    series: BTreeMap<String, Series>,
    message: String,
}

/// What the states of a capture were made from.
#[derive(PartialEq, Eq)]
struct Seen {
    manifest: Option<FileVersion>,
    reads: Vec<(SinkName, u64)>,
}

impl Looks {
    fn new(state_dir: &Path, data_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            data_dir: data_dir.to_owned(),
            names: BTreeSet::new(),
            checkpoints: BTreeMap::new(),
            seen: BTreeMap::new(),
            reads: 0,
        }
    }

    fn forget(&mut self) {
        self.names.clear();
        self.checkpoints.clear();
        self.seen.clear();
    }

    /// The states of captures for which something may have changed.
    fn look(&mut self, named: &[Named]) -> Vec<(Arc<Capture>, Vec<ExportState>)> {
        let names: BTreeSet<_> = named.iter().map(|one| one.name.clone()).collect();
        if !names.is_subset(&self.names) {
            self.checkpoints.clear();
        }
        self.names = names;
        self.seen.retain(|name, _| self.names.contains(name));
        let sinks: BTreeSet<_> = named.iter().flat_map(|one| one.sinks.clone()).collect();
        self.checkpoints.retain(|sink, _| sinks.contains(sink));
        for sink in sinks {
            self.refresh(sink);
        }
        let mut news = Vec::new();
        for one in named {
            let manifest = manifest_path(&self.data_dir, &one.name);
            let known = |sink: &SinkName| self.checkpoints.get(sink).map_or(0, |known| known.read);
            let now = Seen {
                manifest: FileVersion::at(&manifest),
                reads: one
                    .sinks
                    .iter()
                    .map(|sink| (sink.clone(), known(sink)))
                    .collect(),
            };
            // A new capture of the same name has no state yet.
            if self.seen.get(&one.name) == Some(&now) && one.capture.has_export() {
                continue;
            }
            let files = entries(&manifest);
            let series = format!("{0}/{0}", one.name);
            let states = one.sinks.iter().filter_map(|sink| {
                let known = self.checkpoints.get(sink)?;
                Some(state(sink, known, &series, &files))
            });
            news.push((Arc::clone(&one.capture), states.collect()));
            self.seen.insert(one.name.clone(), now);
        }
        news
    }

    fn refresh(&mut self, sink: SinkName) {
        let path = self.state_dir.join(format!("{sink}{SUFFIX}"));
        let version = FileVersion::at(&path);
        let known = self.checkpoints.get(&sink);
        if known.is_some_and(|known| known.version == version) {
            return;
        }
        let of = |series: &str| {
            let name = series.rsplit('/').next().unwrap_or(series);
            CaptureName::new(name).is_ok_and(|name| self.names.contains(&name))
        };
        let (series, message) = match Checkpoint::read(&path) {
            Ok(Some(checkpoint)) => {
                let series = checkpoint.series.into_iter();
                let trouble = checkpoint.trouble.map(|trouble| trouble.reason);
                (
                    series.filter(|(name, _)| of(name)).collect(),
                    trouble.unwrap_or_default(),
                )
            }
            Ok(None) => (
                BTreeMap::new(),
                format!(
                    "no checkpoint in {}: either no exporter runs, or it has no sink of this name",
                    self.state_dir.display()
                ),
            ),
            Err(error) => (BTreeMap::new(), error.to_string()),
        };
        self.reads += 1;
        let known = Known {
            version,
            read: self.reads,
            series,
            message: cut(&message, LONGEST).into_owned(),
        };
        self.checkpoints.insert(sink, known);
    }
}

fn manifest_path(data_dir: &Path, name: &CaptureName) -> PathBuf {
    data_dir
        .join(name.as_str())
        .join(format!("{name}.manifest.jsonl"))
}

/// The finished files of a manifest; none if it cannot be read, which the listing of files reports.
fn entries(path: &Path) -> Vec<FileEntry> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let read = |file: File| {
        let mut text = Vec::new();
        let is_file = file.metadata()?.is_file();
        if is_file {
            file.take(LARGEST_MANIFEST).read_to_end(&mut text)?;
        }
        std::io::Result::Ok(text)
    };
    let text = opened.and_then(read).unwrap_or_default();
    let mut files = Manifest::parse(&String::from_utf8_lossy(&text)).files;
    // What a killed recorder left is completed when the next one starts.
    files.retain(|entry| !entry.file.ends_with(PART));
    files
}

fn state(sink: &SinkName, known: &Known, name: &str, files: &[FileEntry]) -> ExportState {
    let series = known.series.get(name);
    let (mut delivered, mut waiting, mut aside) = (0, 0, 0);
    for entry in files {
        let of = series
            .filter(|series| !series.began_anew(entry))
            .map_or(Delivered::No, |series| series.of(entry));
        *match of {
            Delivered::Yes => &mut delivered,
            Delivered::No => &mut waiting,
            Delivered::Aside => &mut aside,
        } += 1;
    }
    ExportState {
        sink: sink.clone(),
        // A checkpoint of an older exporter does not count what was removed since.
        delivered: series.map_or(0, |series| series.delivered).max(delivered),
        waiting,
        aside,
        missed: series.map_or(0, |series| series.missed),
        message: known.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use capture_file::checkpoint::Trouble;

    fn entry(sequence: u64) -> FileEntry {
        FileEntry {
            first: Some((sequence * 10).into()),
            ..FileEntry::unknown(format!("web-{sequence}"), sequence, 100)
        }
    }

    /// The states of one capture that names two sinks.
    struct Lab {
        data: tempfile::TempDir,
        state: tempfile::TempDir,
        looks: Looks,
    }

    impl Lab {
        fn new() -> Self {
            let (data, state) = (directory(), directory());
            let looks = Looks::new(state.path(), data.path());
            Self { data, state, looks }
        }

        fn files(&self, numbers: impl IntoIterator<Item = u64>) {
            let lines = numbers
                .into_iter()
                .map(|number| serde_json::to_string(&entry(number)).expect("JSON"));
            // The first line is that of the capture.
            let text = std::iter::once("{}".to_owned()).chain(lines);
            let text = text.collect::<Vec<_>>().join("\n");
            let path = manifest_path(self.data.path(), &name());
            fs::create_dir_all(path.parent().expect("parent")).expect("made");
            fs::write(&path, text).expect("written");
        }

        fn checkpoint(&self, checkpoint: &Checkpoint) {
            let path = self
                .state
                .path()
                .join(format!("{}{SUFFIX}", checkpoint.sink));
            let text = serde_json::to_vec(checkpoint).expect("JSON");
            fs::write(path, text).expect("written");
        }

        fn states(&mut self) -> Vec<ExportState> {
            let sinks: BTreeSet<SinkName> = ["archive", "lab"]
                .map(|name| name.parse().expect("name"))
                .into();
            self.looks.names.insert(name());
            for sink in &sinks {
                self.looks.refresh(sink.clone());
            }
            let files = entries(&manifest_path(self.data.path(), &name()));
            let states = sinks.iter().map(|sink| {
                let known = &self.looks.checkpoints[sink];
                state(sink, known, "web/web", &files)
            });
            states.collect()
        }
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("directory")
    }

    fn name() -> CaptureName {
        CaptureName::new("web").expect("name")
    }

    fn counts(state: &ExportState) -> (u64, u64, u64, u64) {
        (state.delivered, state.waiting, state.aside, state.missed)
    }

    #[test]
    fn files_are_delivered_wait_or_were_put_aside_for_each_sink() {
        let mut lab = Lab::new();
        lab.files(4..=7);
        let states = lab.states();
        assert_eq!(counts(&states[0]), (0, 4, 0, 0), "no checkpoint");
        assert!(states[0].message.contains("no checkpoint"), "{states:?}");

        let mut checkpoint = Checkpoint::new("archive");
        let series = Series {
            through: 5,
            last: 59,
            ahead: [7].into(),
            // Two of them were removed since.
            delivered: 5,
            missed: 1,
            ..Series::default()
        };
        checkpoint.series.insert("web/web".to_owned(), series);
        let other = Series {
            delivered: 9,
            ..Series::default()
        };
        checkpoint.series.insert("dns/dns".to_owned(), other);
        lab.checkpoint(&checkpoint);
        let mut stuck = Checkpoint::new("lab");
        stuck.trouble = Some(Trouble {
            since: 1.into(),
            attempts: 3,
            reason: "connection refused".to_owned(),
        });
        lab.checkpoint(&stuck);
        let states = lab.states();
        assert_eq!(counts(&states[0]), (5, 1, 0, 1), "6 waits");
        assert_eq!(states[0].message, "");
        assert_eq!(counts(&states[1]), (0, 4, 0, 0));
        assert_eq!(states[1].message, "connection refused");
        let archive = &lab.looks.checkpoints[&"archive".parse().expect("name")];
        assert_eq!(archive.series.len(), 1, "no memory for other captures");
    }

    #[test]
    fn a_damaged_checkpoint_is_a_reason_and_a_capture_that_began_anew_waits() {
        let mut lab = Lab::new();
        lab.files(1..=2);
        fs::write(lab.state.path().join("archive.checkpoint.json"), "{").expect("written");
        let states = lab.states();
        assert_eq!(counts(&states[0]), (0, 2, 0, 0));
        assert!(states[0].message.contains("is no checkpoint"), "{states:?}");

        let mut checkpoint = Checkpoint::new("archive");
        let series = Series {
            through: 9,
            last: 5,
            ..Series::default()
        };
        checkpoint.series.insert("web/web".to_owned(), series);
        lab.checkpoint(&checkpoint);
        assert_eq!(counts(&lab.states()[0]), (0, 2, 0, 0));
    }
}
