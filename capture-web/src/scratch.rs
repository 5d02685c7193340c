//! Directories for work in progress. Each server has its own, which it holds locked; what a killed server left
//! behind is not locked, and is removed at the next start.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};

/// A server's directory for work in progress.
#[derive(Debug, Clone)]
pub struct Scratch(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: File,
    next: AtomicU64,
}

/// A directory for one piece of work, which is removed with this value.
#[derive(Debug)]
pub struct WorkDirectory(PathBuf);

impl Scratch {
    /// Removes what killed servers left below `root`, and begins a directory named `name`.
    ///
    /// # Errors
    /// A directory cannot be created or locked.
    pub fn new(root: &Path, name: &str) -> io::Result<Self> {
        private(root)?;
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            // Without a lock file it may be about to be created.
            let Ok(lock) = File::open(path.join("lock")) else {
                continue;
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs::remove_dir_all(&path)?;
            }
        }
        let path = root.join(name);
        private(&path)?;
        let lock = File::create(path.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self(Arc::new(Held {
            path,
            _lock: lock,
            next: AtomicU64::new(0),
        })))
    }

    /// A new, empty directory.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn directory(&self) -> io::Result<WorkDirectory> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.0.path.join(number.to_string());
        private(&path)?;
        Ok(WorkDirectory(path))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl WorkDirectory {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn what_a_killed_server_left_behind_is_removed_and_what_a_running_one_uses_stays() {
        let root = tempfile::tempdir().unwrap();
        let running = Scratch::new(root.path(), "running").unwrap();
        let used = running.directory().unwrap();
        let left = root.path().join("killed/0");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(root.path().join("killed/lock"), "").unwrap();
        let _new = Scratch::new(root.path(), "new").unwrap();
        assert!(!left.exists());
        assert!(used.path().exists());
    }
}
