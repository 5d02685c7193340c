//! Small temporary file systems.

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::netns::run;

/// A file system in memory; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    directory: TempDir,
}

impl Tmpfs {
    /// Mounts a tmpfs with these options, for example `size=8m`.
    pub fn new(options: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory
            .path()
            .to_str()
            .context("a path that is not UTF-8")?;
        run("mount", &["-t", "tmpfs", "-o", options, "captest", path])?;
        Ok(Self { directory })
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still use it.
        let path = self.directory.path().to_string_lossy();
        if let Err(error) = run("umount", &["-l", &path]) {
            eprintln!("{path} stays mounted: {error:#}");
        }
    }
}
