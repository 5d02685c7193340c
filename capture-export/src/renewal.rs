//! Certificates, keys and credentials that are renewed while the exporter runs: the sink is made again when a file that
//! its settings name has changed.

use std::{fmt, path::PathBuf, sync::Arc};

use anyhow::Result;
use capture_file::FileVersion;

use crate::sink::Sink;

/// Makes a sink from its settings.
pub type Open = Box<dyn Fn() -> Result<Arc<dyn Sink>> + Send + Sync>;

/// The files of a sink's settings, and how the sink is made.
pub struct Renewal {
    files: Vec<PathBuf>,
    seen: Vec<Option<FileVersion>>,
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

/// Those of the files themselves: a renewed Secret is behind another link.
fn versions(files: &[PathBuf]) -> Vec<Option<FileVersion>> {
    files.iter().map(|path| FileVersion::at(path)).collect()
}
