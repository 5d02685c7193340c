//! The directory of a capture: made, locked, and the only way to its files.

use std::{
    fs::{DirBuilder, File, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags, StatVfs},
    io::Errno,
};

use capture_types::CaptureName;

/// A capture's directory, held open: the capture goes on in it when somebody renames it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: OwnedFd,
    /// Held as long as this lives, so that no two captures of one name write here.
    _lock: OwnedFd,
}

/// Why a capture cannot write to its directory.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It could not be made.
    #[error("cannot make directory {path:?}: {source}; make it, or write elsewhere with --write")]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be opened.
    #[error(
        "cannot open directory {path:?}: {source}; write to a directory that this user may use"
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file could be made in it.
    #[error(
        "cannot make file {file:?} in {path:?}: {source}; write to a directory that this user may \
         write to, on a file system that is not read-only and has space left"
    )]
    Create {
        /// The directory.
        path: PathBuf,
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another capture of the same name writes to it.
    #[error(
        "a capture named {name:?} already writes to {path:?}; stop it, or give this one another \
         name with --name"
    )]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The name of both captures.
        name: String,
    },
}

impl Directory {
    /// Makes the directory (0700, and what is missing above it) unless it exists, and locks it for
    /// captures of this name.
    pub fn open(path: &Path, name: &CaptureName) -> Result<Self, DirectoryError> {
        if !path.is_dir() {
            make(path).map_err(|source| DirectoryError::Make {
                path: path.to_owned(),
                source,
            })?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|source| {
            DirectoryError::Open {
                path: path.to_owned(),
                source: source.into(),
            }
        })?;
        let lock = lock(&handle, name).map_err(|source| match source {
            Errno::WOULDBLOCK => DirectoryError::Busy {
                path: path.to_owned(),
                name: name.to_string(),
            },
            source => DirectoryError::Create {
                path: path.to_owned(),
                file: lock_name(name),
                source: source.into(),
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            handle,
            _lock: lock,
        })
    }

    /// Where it was when the capture began.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that does not exist yet, 0600 whatever the umask.
    pub fn create(&self, file: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.handle, file, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fchmod(&handle, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(handle))
    }

    /// Opens a file for reading.
    pub fn read(&self, file: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(
            &self.handle,
            file,
            flags,
            Mode::empty(),
        )?))
    }

    /// Gives a complete file its final name, which must be free, and makes that last.
    pub fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        let handle = &self.handle;
        match rustix::fs::renameat_with(handle, from, handle, to, RenameFlags::NOREPLACE) {
            // Some network file systems know no flags. The lock keeps others of our kind away, so
            // a look beforehand does as well.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match rustix::fs::statat(handle, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => return Err(Errno::EXIST.into()),
                    Err(Errno::NOENT) => rustix::fs::renameat(handle, from, handle, to)?,
                    Err(error) => return Err(error.into()),
                }
            }
            other => other?,
        }
        self.sync()
    }

    /// Puts a complete file in the place of an older one and makes that last.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)?;
        self.sync()
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, file, AtFlags::empty())?)
    }

    /// Makes what was done to names last.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    /// The names of the files in it; those that are not UTF-8 are no capture's and left out.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Bytes of a file; 0 when there is none.
    pub fn size(&self, file: &str) -> u64 {
        rustix::fs::statat(&self.handle, file, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// What the file system has left.
    pub fn space(&self) -> io::Result<StatVfs> {
        Ok(rustix::fs::fstatvfs(&self.handle)?)
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

fn lock_name(name: &CaptureName) -> String {
    format!(".{name}.lock")
}

fn lock(directory: &OwnedFd, name: &CaptureName) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(directory, lock_name(name), flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::{Directory, DirectoryError};
    use capture_types::CaptureName;

    fn name(text: &str) -> CaptureName {
        CaptureName::new(text).expect("valid")
    }

    #[test]
    fn two_captures_of_one_name_cannot_write_to_one_directory() {
        let root = tempfile::tempdir().expect("tempdir");
        let first = Directory::open(root.path(), &name("a")).expect("first");
        let second = Directory::open(root.path(), &name("a"));
        assert!(matches!(second, Err(DirectoryError::Busy { .. })));
        Directory::open(root.path(), &name("b")).expect("another name");
        drop(first);
        Directory::open(root.path(), &name("a")).expect("after the first has ended");
    }

    #[test]
    fn directories_and_files_are_the_owners_alone() {
        let root = tempfile::tempdir().expect("tempdir");
        let path = root.path().join("new/captures");
        let directory = Directory::open(&path, &name("a")).expect("open");
        directory.create("file").expect("create");
        let mode = |path| {
            std::fs::metadata(path)
                .expect("exists")
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(root.path().join("new")), 0o700);
        assert_eq!(mode(path.clone()), 0o700);
        assert_eq!(mode(path.join("file")), 0o600);
    }

    #[test]
    fn no_file_is_ever_overwritten() {
        let root = tempfile::tempdir().expect("tempdir");
        let directory = Directory::open(root.path(), &name("a")).expect("open");
        let mut file = directory.create("one").expect("create");
        file.write_all(b"1").expect("write");
        assert!(directory.create("one").is_err());
        directory.create("two").expect("create");
        assert!(directory.publish("two", "one").is_err());
        assert_eq!(std::fs::read(root.path().join("one")).expect("read"), b"1");
    }
}
