//! Certificates, keys and credentials that are renewed while the exporter runs: the sink is made again when a file that
//! its settings name has changed.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;

use crate::sink::Sink;

/// What changes when a file is replaced: inode, size, time of the last change.
type Version = (u64, u64, i64, i64);

/// Makes a sink from its settings.
pub type Open = Box<dyn Fn() -> Result<Arc<dyn Sink>> + Send + Sync>;

/// The files of a sink's settings, and how the sink is made.
pub struct Renewal {
    files: Vec<PathBuf>,
    seen: Vec<Option<Version>>,
    open: Open,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Renewal {
    /// Makes the sink, and looks at the files from now on.
    ///
    /// # Errors
    /// The sink cannot be made.
    pub fn begin(files: Vec<PathBuf>, open: Open) -> Result<(Arc<dyn Sink>, Self)> {
        // Before the files are read: what changes meanwhile is read again.
        let seen = versions(&files);
        let sink = open()?;
        Ok((sink, Self { files, seen, open }))
    }

    /// The sink made again, if a file has changed since. It may not be complete yet: an error is tried again when it has
    /// changed once more.
    pub fn renewed(&mut self) -> Option<Result<Arc<dyn Sink>>> {
        let now = versions(&self.files);
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some((self.open)())
    }
}

fn versions(files: &[PathBuf]) -> Vec<Option<Version>> {
    files.iter().map(|path| version(path)).collect()
}

/// That of the file itself: a renewed Secret is behind another link.
fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}
