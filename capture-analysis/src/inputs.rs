//! The files to analyse: files, directories with files, and manifests of captures.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use capture_file::{CaptureReader, Item, manifest::Manifest};

use crate::report::{LossSpan, RecorderLoss};

const MANIFEST: &str = ".manifest.jsonl";
/// A larger file is not a manifest.
const LARGEST_MANIFEST: u64 = 256 << 20;
/// Extensions of capture files; `.gz` or `.zst` may follow.
const EXTENSIONS: [&str; 4] = ["pcap", "pcapng", "cap", "part"];

/// Why there is nothing to analyse.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A path does not exist, or must not be read.
    #[error("{path}: {source}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A directory has no capture files.
    #[error("{path}: no capture files in this directory; their names end in .pcap or .pcapng, or \
             with .gz or .zst behind", path = .0.display())]
    Nothing(PathBuf),
}

/// Files to analyse, by time.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their names in the report, if different from their paths.
    pub names: Vec<String>,
    /// The recorder's loss according to a manifest.
    pub recorder: Option<RecorderLoss>,
    /// Bytes of all files on disk.
    pub bytes: u64,
    /// Skipped files, with reasons.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Finds the files for these paths.
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn find(paths: &[PathBuf]) -> Result<Self, InputError> {
        let mut inputs = Self::default();
        for path in paths {
            let metadata = fs::metadata(path).map_err(|source| in_path(path, source))?;
            if metadata.is_dir() {
                inputs.directory(path)?;
            } else if is_manifest(path) {
                inputs.manifest(path, true)?;
            } else {
                inputs.files.push(path.clone());
            }
        }
        inputs.order();
        for file in &inputs.files {
            inputs.bytes += fs::metadata(file).map_or(0, |metadata| metadata.len());
        }
        Ok(inputs)
    }

    /// The name of each file in reports.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let paths = self.files.iter().map(|file| file.display().to_string());
        let named = self.names.iter().cloned();
        named.chain(paths.skip(self.names.len())).collect()
    }

    fn directory(&mut self, directory: &Path) -> Result<(), InputError> {
        let entries = fs::read_dir(directory).map_err(|source| in_path(directory, source))?;
        let mut strangers = 0;
        let before = self.files.len();
        for entry in entries {
            let path = entry.map_err(|source| in_path(directory, source))?.path();
            if is_manifest(&path) {
                self.manifest(&path, false)?;
            } else if path.is_file() && is_capture(&path) {
                self.files.push(path);
            } else {
                strangers += 1;
            }
        }
        if strangers > 0 {
            self.notes.push(format!(
                "{}: {strangers} entries that are no capture files by their names were left out",
                directory.display()
            ));
        }
        if self.files.len() == before {
            return Err(InputError::Nothing(directory.to_owned()));
        }
        self.files[before..].sort();
        Ok(())
    }

    /// The recorder's loss according to a manifest and, if wanted, its files.
    fn manifest(&mut self, path: &Path, with_files: bool) -> Result<(), InputError> {
        let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size > LARGEST_MANIFEST {
            let problem = format!("a manifest of more than {LARGEST_MANIFEST} bytes");
            return Err(in_path(path, io::Error::other(problem)));
        }
        let text = fs::read_to_string(path).map_err(|source| in_path(path, source))?;
        let manifest = Manifest::parse(&text);
        let mut lost_before = 0;
        for file in &manifest.files {
            // A name and not a path: a manifest must not refer to files elsewhere.
            let Some(name) = Path::new(&file.file).file_name() else {
                continue;
            };
            let here = path.with_file_name(name);
            if with_files {
                if here.is_file() {
                    self.files.push(here);
                } else {
                    self.notes
                        .push(format!("{} is in the manifest and not there", file.file));
                }
            }
            let Some(lost) = file.ledger.and_then(|ledger| ledger.lost()) else {
                continue;
            };
            let recorder = self.recorder.get_or_insert_with(|| RecorderLoss {
                source: "manifest".to_owned(),
                lost: 0,
                spans: Vec::new(),
            });
            let since = lost.checked_sub(lost_before).unwrap_or(lost);
            lost_before = lost;
            recorder.lost += since;
            if since > 0
                && let (Some(first), Some(last)) = (&file.first, &file.last)
            {
                recorder.spans.push(LossSpan {
                    from_ns: first.nanoseconds,
                    to_ns: last.nanoseconds,
                    lost: since,
                    interface: None,
                });
            }
        }
        if with_files && self.files.is_empty() {
            return Err(InputError::Nothing(path.to_owned()));
        }
        Ok(())
    }

    /// By the time of the first packet, so that flows continue from file to file.
    fn order(&mut self) {
        if self.files.len() > 1 {
            self.files.sort_by_cached_key(|file| first_time(file));
        }
    }
}

fn in_path(path: &Path, source: io::Error) -> InputError {
    InputError::Path {
        path: path.to_owned(),
        source,
    }
}

fn is_manifest(path: &Path) -> bool {
    path.to_string_lossy().ends_with(MANIFEST)
}

fn is_capture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".part").unwrap_or(&name);
    let name = name
        .strip_suffix(".gz")
        .or_else(|| name.strip_suffix(".zst"))
        .unwrap_or(name);
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

/// Nanoseconds; files without packets come last, and are reported when they are read.
fn first_time(path: &Path) -> u64 {
    let first = || -> Option<u64> {
        let mut reader = CaptureReader::new(File::open(path).ok()?).ok()?;
        // Descriptions come first; after many of them the order no longer matters.
        for _ in 0..1_000 {
            if let Item::Packet(packet) = reader.next_item().ok()?? {
                return Some(packet.timestamp);
            }
        }
        None
    };
    first().unwrap_or(u64::MAX)
}
