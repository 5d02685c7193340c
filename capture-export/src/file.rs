//! A finished capture file, as every sink gets it.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use capture_file::manifest::{CaptureEntry, FileEntry};
use rustix::fs::{Mode, OFlags};

/// Where files come from; part of their names in a store, and of each document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name of the cluster, or of the site.
    pub cluster: String,
    /// The name of the node.
    pub node: String,
    /// The namespace of the recorder; empty outside Kubernetes.
    pub namespace: String,
}

/// A finished file of a capture.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its series: the path of the directory below the data directory, and the name of the capture.
    pub series: String,
    /// The name of the capture.
    pub capture: String,
    /// The line of the manifest about it.
    pub entry: FileEntry,
    /// The line of the manifest about its capture, if there is one.
    pub of: Option<Arc<CaptureEntry>>,
    /// Where it comes from.
    pub origin: Arc<Origin>,
}

impl FinishedFile {
    /// Opens it for reading: a regular file, never a link or a pipe.
    ///
    /// # Errors
    /// It is gone, it is no regular file, or it has another size than the manifest says: then it was replaced, and
    /// the manifest has or will have a new line about it.
    pub fn open(&self) -> io::Result<File> {
        let file = open_regular(&self.path)?;
        let bytes = file.metadata()?.size();
        if bytes != self.entry.bytes {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "it has {bytes} bytes, and the manifest says {}: it was replaced",
                    self.entry.bytes
                ),
            ));
        }
        Ok(file)
    }

    /// The latest time of its packets, or else the earliest, in nanoseconds since 1970-01-01 UTC; 0 if neither is
    /// known.
    #[must_use]
    pub fn time(&self) -> u64 {
        let time = self.entry.last.as_ref().or(self.entry.first.as_ref());
        time.map_or(0, |time| time.nanoseconds)
    }
}

/// Opens a regular file, without following a link or waiting for the writer of a pipe.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file",
    ))
}
