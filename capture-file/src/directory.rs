//! The directory of a capture: created, locked, and the only access to its files.

use std::{
    fs::{DirBuilder, File, Metadata, Permissions},
    io::{self, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, StatVfs},
    io::Errno,
};

use capture_types::CaptureName;

use crate::name::PART;

/// A capture's open directory: the capture continues in it when somebody renames it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: OwnedFd,
    /// Whether finished files may replace older ones.
    overwrites: bool,
    /// Locked as long as `self` lives, so that no two captures of one name write here.
    _lock: OwnedFd,
    /// Descriptors that are closed to open a file when no others are available.
    reserve: Mutex<Vec<OwnedFd>>,
}

/// This many files can be created when the process has no descriptor left.
const RESERVED: usize = 2;

/// Why a capture cannot write to its directory.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It could not be created.
    #[error("cannot make directory {path:?}: {source}; make it, or write elsewhere with --write")]
    Make {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It could not be opened.
    #[error(
        "cannot open directory {path:?}: {source}; write to a directory that this user may use"
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No file could be created in it.
    #[error(
        "cannot make file {file:?} in {path:?}: {source}; write to a directory that this user may \
         write to, on a file system that is not read-only and has space left"
    )]
    Create {
        /// The directory.
        path: PathBuf,
        /// The file.
        file: String,
        /// The system's error.
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
    /// Creates the directory (0700, and missing parents) unless it exists, and locks it for
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
        let directory = Self {
            path: path.to_owned(),
            handle,
            overwrites: false,
            _lock: lock,
            reserve: Mutex::default(),
        };
        directory.refill();
        Ok(directory)
    }

    /// Its path when the capture began.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file that does not exist yet, 0600 whatever the umask.
    pub fn create(&self, file: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = plain(file)?;
        let create = || rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR);
        let mut created = create();
        while matches!(created, Err(Errno::MFILE | Errno::NFILE)) && self.give_reserved() {
            created = create();
        }
        let handle = created?;
        rustix::fs::fchmod(&handle, Mode::RUSR | Mode::WUSR)?;
        self.refill();
        Ok(File::from(handle))
    }

    /// Closes a reserved descriptor; `false` if there is none.
    fn give_reserved(&self) -> bool {
        self.reserve().pop().is_some()
    }

    fn refill(&self) {
        let mut reserve = self.reserve();
        while reserve.len() < RESERVED {
            match rustix::io::fcntl_dupfd_cloexec(&self.handle, 0) {
                Ok(descriptor) => reserve.push(descriptor),
                Err(_) => break,
            }
        }
    }

    fn reserve(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        // Descriptors are added and removed whole.
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one of our files for reading.
    pub fn read(&self, file: &str) -> io::Result<File> {
        open_own(&self.handle, file, OFlags::RDONLY)
    }

    /// Opens one of our files for reading and writing.
    pub fn edit(&self, file: &str) -> io::Result<File> {
        open_own(&self.handle, file, OFlags::RDWR)
    }

    /// Whether the file of this name is still the one that `metadata` was read from.
    pub fn holds(&self, file: &str, metadata: &Metadata) -> io::Result<bool> {
        match rustix::fs::statat(&self.handle, plain(file)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok((stat.st_dev, stat.st_ino) == (metadata.dev(), metadata.ino())),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets finished files replace older ones of the same name.
    #[must_use]
    pub fn overwriting(self) -> Self {
        Self {
            overwrites: true,
            ..self
        }
    }

    /// Renames a complete file to its final name, which must be free unless the directory is
    /// [`Directory::overwriting`], and makes the rename durable.
    pub fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        if self.overwrites {
            return self.replace(from, to);
        }
        let handle = &self.handle;
        match rustix::fs::renameat_with(handle, from, handle, to, RenameFlags::NOREPLACE) {
            // Some network file systems do not support flags. The lock excludes other captures, so
            // a check beforehand is sufficient.
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

    /// Replaces an older file by a complete one and makes the rename durable.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)?;
        self.sync()
    }

    /// Replaces a small file by a new one, which is complete under its name at any moment, and not made
    /// durable.
    pub fn put(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let part = format!("{file}{PART}");
        match self.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.create(&part).and_then(|mut made| {
            made.write_all(content)?;
            let (from, to) = (part.as_str(), plain(file)?);
            Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
        });
        if written.is_err() {
            let _ = self.remove(&part);
        }
        written
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, file, AtFlags::empty())?)
    }

    /// Makes changes of names durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    /// The names of its files; names that are not UTF-8 belong to no capture and are skipped.
    pub fn list(&self) -> io::Result<Vec<String>> {
        list(&self.handle)
    }

    /// Bytes of a file; 0 if it does not exist.
    pub fn size(&self, file: &str) -> u64 {
        rustix::fs::statat(&self.handle, file, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Whether somebody has removed the directory itself: its files no longer have names.
    ///
    /// # Errors
    /// The file system's error.
    pub fn is_removed(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.handle)?.st_nlink == 0)
    }

    /// The free space of the file system.
    pub fn space(&self) -> io::Result<StatVfs> {
        Ok(rustix::fs::fstatvfs(&self.handle)?)
    }
}

/// Checks that a name stays in its directory.
fn plain(file: &str) -> io::Result<&str> {
    if file.is_empty() || file.contains('/') || file == "." || file == ".." {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{file:?} is not the name of a file in a directory"),
        ));
    }
    Ok(file)
}

/// Opens an existing file, if it is a regular file of this process's user: others may have put a link, a
/// pipe or one of their files in its place. Never blocks.
fn open_own(directory: impl AsFd, file: &str, mode: OFlags) -> io::Result<File> {
    let flags = mode | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let refused = |problem: &str| {
        let text = format!("{file:?} {problem}; remove it or move it elsewhere");
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    };
    let handle = match rustix::fs::openat(directory, plain(file)?, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Err(refused("is a symbolic link")),
        // A pipe without a reader, or a socket.
        Err(Errno::NXIO) => return Err(refused("is not a regular file")),
        other => other?,
    };
    let stat = rustix::fs::fstat(&handle)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused("is not a regular file"));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(refused("belongs to another user"));
    }
    Ok(File::from(handle))
}

fn list(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        if let Ok(name) = entry?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
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

    use rustix::fs::{CWD, FileType, Mode};

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

    #[test]
    fn a_small_file_is_replaced_as_a_whole_and_never_through_a_link() {
        let root = tempfile::tempdir().expect("tempdir");
        let directory = Directory::open(root.path(), &name("a")).expect("open");
        let secret = tempfile::NamedTempFile::new().expect("tempfile");
        let path = |file: &str| root.path().join(file);
        for file in ["small", "small.part"] {
            std::os::unix::fs::symlink(secret.path(), path(file)).expect("link");
        }
        directory.put("small", b"one").expect("put");
        directory.put("small", b"two").expect("put");
        assert_eq!(std::fs::read(path("small")).expect("read"), b"two");
        let metadata = std::fs::symlink_metadata(path("small")).expect("exists");
        assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600);
        assert_eq!(std::fs::read(secret.path()).expect("read"), b"");
        std::fs::create_dir(path("directory")).expect("mkdir");
        assert!(directory.put("directory", b"three").is_err());
        let left = directory.list().expect("list");
        assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
        assert!(directory.put("../up", b"").is_err());
    }

    #[test]
    fn only_regular_files_of_ours_are_read_and_nothing_blocks() {
        let root = tempfile::tempdir().expect("tempdir");
        let directory = Directory::open(root.path(), &name("a")).expect("open");
        let secret = tempfile::NamedTempFile::new().expect("tempfile");
        let path = |file: &str| root.path().join(file);
        std::os::unix::fs::symlink(secret.path(), path("link")).expect("link");
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RWXU, 0).expect("pipe");
        std::fs::create_dir(path("directory")).expect("mkdir");
        for file in ["link", "pipe", "directory", "../x", "", "."] {
            assert!(directory.read(file).is_err(), "{file}");
            assert!(directory.edit(file).is_err(), "{file}");
        }
        directory.create("file").expect("create");
        directory.read("file").expect("it is ours");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path("file"), Some(1), None).expect("chown");
            let error = directory.read("file").expect_err("another's").to_string();
            assert!(error.contains("another user"), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_not_the_one_that_was_made() {
        let root = tempfile::tempdir().expect("tempdir");
        let directory = Directory::open(root.path(), &name("a")).expect("open");
        let file = directory.create("one").expect("create");
        let metadata = file.metadata().expect("metadata");
        assert!(directory.holds("one", &metadata).expect("stat"));
        std::fs::rename(root.path().join("one"), root.path().join("two")).expect("rename");
        assert!(!directory.holds("one", &metadata).expect("stat"));
        directory.create("one").expect("create");
        assert!(!directory.holds("one", &metadata).expect("stat"));
        assert!(directory.holds("two", &metadata).expect("stat"));
    }
}
