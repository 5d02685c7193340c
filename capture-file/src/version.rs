//! Whether a file has changed since it was read.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// What changes when a file is replaced or written to. It does not change when a file gets other content of the same
/// size, in place, within the resolution of its file system's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    /// The number of the file in its file system.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Time of the last change of the content, in seconds since 1970.
    pub seconds: i64,
    /// The rest of that time.
    pub nanoseconds: i64,
}

impl FileVersion {
    /// That of the file at a path, behind its links; none if there is no file, or it may not be looked at.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for FileVersion {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_grows_or_is_behind_another_link_has_another_version() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a");
        assert_eq!(FileVersion::at(&path), None);
        fs::write(&path, "one").expect("written");
        let first = FileVersion::at(&path).expect("a file");
        assert_eq!(FileVersion::at(&path), Some(first));

        fs::write(&path, "longer").expect("written");
        let grown = FileVersion::at(&path).expect("a file");
        assert_ne!(grown, first);

        let other = directory.path().join("b");
        fs::write(&other, "LONGER").expect("written");
        let time = fs::metadata(&path).and_then(|of| of.modified());
        let file = fs::File::options().write(true).open(&other);
        file.and_then(|file| file.set_modified(time?))
            .expect("time set");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert_eq!(FileVersion::at(&link), Some(grown));
        fs::remove_file(&link).expect("removed");
        std::os::unix::fs::symlink(&other, &link).expect("link");
        let behind = FileVersion::at(&link).expect("a file");
        assert_eq!((behind.size, behind.seconds), (grown.size, grown.seconds));
        assert_ne!(behind, grown, "same size and time");
    }
}
