//! Follows the manifests of a data directory: `DIR/NAME.manifest.jsonl` and `DIR/CAPTURE/NAME.manifest.jsonl`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use capture_file::{
    FileVersion,
    manifest::{CaptureEntry, Manifest},
    name::PART,
};
use capture_types::SinkName;

use crate::{
    file::{FinishedFile, Origin, open_regular},
    route::Route,
};

const MANIFEST: &str = ".manifest.jsonl";
/// Larger than the manifest of half a million files.
const LARGEST: u64 = 256 << 20;
/// Directories below the data directory that are looked at; more are reported.
const MOST_DIRECTORIES: usize = 10_000;
/// The longest name of a file that a file system here has.
const LONGEST_NAME: usize = 255;

/// The finished files of a data directory at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The files, the oldest first; those of one series in the order of their numbers.
    pub files: Vec<Arc<FinishedFile>>,
    /// Series whose files are for other sinks.
    pub elsewhere: BTreeSet<String>,
}

impl Snapshot {
    /// What is for one sink.
    #[must_use]
    pub fn of(&self, route: &Route) -> Self {
        let mut own = Self::default();
        for file in &self.files {
            if route.takes(file) {
                own.files.push(Arc::clone(file));
            } else if !own.elsewhere.contains(&file.series) {
                own.elsewhere.insert(file.series.clone());
            }
        }
        own
    }
}

/// Reads manifests when they have changed.
#[derive(Debug)]
pub struct Follower {
    data: PathBuf,
    origin: Arc<Origin>,
    read: BTreeMap<PathBuf, ReadManifest>,
    warned: BTreeSet<PathBuf>,
}

/// A manifest as it was read last.
#[derive(Debug)]
struct ReadManifest {
    version: FileVersion,
    of: Option<Arc<CaptureEntry>>,
    files: Vec<Arc<FinishedFile>>,
}

impl Follower {
    /// Follows a directory.
    #[must_use]
    pub fn new(data: &Path, origin: Arc<Origin>) -> Self {
        Self {
            data: data.to_owned(),
            origin,
            read: BTreeMap::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Looks at the directory. A manifest that cannot be read now counts as it was.
    ///
    /// # Errors
    /// The data directory itself cannot be listed.
    pub fn scan(&mut self) -> io::Result<Snapshot> {
        let manifests = self.manifests()?;
        self.read.retain(|path, _| manifests.contains_key(path));
        self.warned.retain(|path| manifests.contains_key(path));
        for (path, series) in manifests {
            match self.refresh(&path, &series) {
                Ok(()) => {
                    self.warned.remove(&path);
                }
                // It was removed, with its capture.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.read.remove(&path);
                }
                Err(error) => {
                    if self.warned.insert(path.clone()) {
                        tracing::warn!("manifest {} cannot be read: {error}", path.display());
                    }
                }
            }
        }
        let mut snapshot = Snapshot::default();
        for manifest in self.read.values() {
            snapshot.files.extend(manifest.files.iter().cloned());
        }
        snapshot.files.sort_by(|a, b| {
            let key = |file: &FinishedFile| (file.time(), file.entry.sequence);
            key(a).cmp(&key(b)).then_with(|| a.series.cmp(&b.series))
        });
        Ok(snapshot)
    }

    /// The sinks that captures name, each with one of these captures.
    #[must_use]
    pub fn named(&self) -> BTreeMap<&SinkName, &str> {
        let captures = self.read.values().filter_map(|read| read.of.as_deref());
        captures
            .flat_map(|of| of.export.iter().map(|sink| (sink, of.capture.as_str())))
            .collect()
    }

    /// Manifests and the names of their series.
    fn manifests(&mut self) -> io::Result<BTreeMap<PathBuf, String>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![(self.data.clone(), String::new())];
        for entry in std::fs::read_dir(&self.data)? {
            let entry = entry?;
            // Links are not followed.
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Some(name) = entry.file_name().to_str()
            {
                directories.push((entry.path(), format!("{name}/")));
            }
        }
        directories.sort();
        if directories.len() > MOST_DIRECTORIES {
            if self.warned.insert(self.data.clone()) {
                tracing::warn!(
                    "{} has {} directories: only {MOST_DIRECTORIES} are followed",
                    self.data.display(),
                    directories.len()
                );
            }
            directories.truncate(MOST_DIRECTORIES);
        }
        for (directory, prefix) in directories {
            // A directory can be removed, or belong to somebody else.
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let capture = name.to_str().and_then(|name| name.strip_suffix(MANIFEST));
                if let Some(capture) = capture.filter(|name| !name.is_empty()) {
                    found.insert(entry.path(), format!("{prefix}{capture}"));
                }
            }
        }
        Ok(found)
    }

    fn refresh(&mut self, path: &Path, series: &str) -> io::Result<()> {
        let file = open_regular(path)?;
        let metadata = file.metadata()?;
        let version = FileVersion::from(&metadata);
        if self
            .read
            .get(path)
            .is_some_and(|read| read.version == version)
        {
            return Ok(());
        }
        if metadata.len() > LARGEST {
            let text = format!("it is larger than {LARGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        let manifest = Manifest::parse(&String::from_utf8_lossy(&text));
        let of = manifest.capture.map(Arc::new);
        let directory = path.parent().unwrap_or(Path::new("."));
        let capture = series.rsplit('/').next().unwrap_or(series);
        let files = manifest.files.into_iter().filter(|entry| {
            // What a killed recorder left is completed when the next one starts.
            is_plain(&entry.file) && !entry.file.ends_with(PART)
        });
        let files = files.map(|entry| {
            Arc::new(FinishedFile {
                path: directory.join(&entry.file),
                series: series.to_owned(),
                capture: capture.to_owned(),
                entry,
                of: of.clone(),
                origin: Arc::clone(&self.origin),
            })
        });
        let files = files.collect();
        let read = ReadManifest { version, of, files };
        self.read.insert(path.to_owned(), read);
        Ok(())
    }
}

/// Whether a name is one of a file in the directory itself.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.contains(['/', '\0'])
        && name != ".."
        && name != "."
}

#[cfg(test)]
mod tests;
