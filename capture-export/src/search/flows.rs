//! Where flows that go on in the next file are kept: a file per capture and number of its latest file, so that
//! a file that is delivered again finds the same flows as the first time.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::documents::Continued;

/// Captures that are remembered; the one that was delivered to longest ago is forgotten beyond it.
const MOST_FILES: usize = 512;

/// The flows of the captures of one node.
#[derive(Debug)]
pub(super) struct Flows {
    directory: PathBuf,
}

impl Flows {
    pub(super) const fn in_directory(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The flows that were live before this file. Without them flows have an id of their own, which is logged.
    pub(super) fn before(&self, series: &str, sequence: u64) -> Continued {
        let latest = self.of(series).into_iter().filter(|(at, _)| *at < sequence);
        let Some((_, path)) = latest.max_by_key(|(at, _)| *at) else {
            return Continued::default();
        };
        Continued::load(&path).unwrap_or_else(|error| {
            tracing::warn!("flows are not continued: {error}");
            Continued::default()
        })
    }

    /// A file was delivered, and these flows were live at its end. They are kept with those of the file before it.
    pub(super) fn after(&self, series: &str, sequence: u64, flows: &Continued) {
        if let Err(error) = self.save(series, sequence, flows) {
            tracing::warn!("flows will not be continued: {error}");
        }
    }

    fn save(
        &self,
        series: &str,
        sequence: u64,
        flows: &Continued,
    ) -> Result<(), Box<dyn std::error::Error>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        flows.save(
            &self
                .directory
                .join(format!("{}-{sequence}", file_name(series))),
        )?;
        let mut known = self.of(series);
        known.sort_unstable();
        for (_, path) in known.iter().rev().skip(2) {
            fs::remove_file(path)?;
        }
        self.forget_old()?;
        Ok(())
    }

    /// The files of a capture, by number.
    fn of(&self, series: &str) -> Vec<(u64, PathBuf)> {
        let prefix = format!("{}-", file_name(series));
        let names = list(&self.directory).unwrap_or_default();
        let number = |path: PathBuf| {
            let number = path.file_name()?.to_str()?.strip_prefix(&prefix)?;
            Some((number.parse().ok()?, path))
        };
        names.into_iter().filter_map(number).collect()
    }

    fn forget_old(&self) -> io::Result<()> {
        let paths = list(&self.directory)?;
        if paths.len() <= MOST_FILES {
            return Ok(());
        }
        let modified = |path: &PathBuf| path.metadata().and_then(|one| one.modified()).ok();
        let mut paths: Vec<_> = paths
            .into_iter()
            .map(|path| (modified(&path), path))
            .collect();
        paths.sort_unstable();
        for (_, path) in paths.iter().take(paths.len() - MOST_FILES) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// A name for a file that is about something from outside, which must not become part of a path.
pub(super) fn file_name(outside: &str) -> String {
    capture_file::hex(&Sha256::digest(outside)[..12])
}

#[cfg(test)]
mod tests {
    use super::Flows;
    use crate::documents::Continued;

    #[test]
    fn a_repeated_file_finds_the_flows_before_it_and_old_ones_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let flows = Flows::in_directory(directory.path().join("flows"));
        let of = |number| {
            let mut flows = Continued::default();
            flows.remember_for_test(number);
            flows
        };
        assert_eq!(flows.before("../web", 1), Continued::default());
        for number in 1..=4 {
            flows.after("../web", number, &of(number));
        }
        flows.after("other", 1, &of(9));
        assert_eq!(flows.before("../web", 5), of(4));
        assert_eq!(flows.before("../web", 4), of(3));
        assert_eq!(flows.before("../web", 3), Continued::default(), "gone");
        assert_eq!(flows.before("other", 2), of(9));
        assert_eq!(
            std::fs::read_dir(directory.path().join("flows"))
                .unwrap()
                .count(),
            3
        );
    }
}
