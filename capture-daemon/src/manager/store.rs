//! What the daemon knows of captures, on disk: one file for each, replaced as a whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::FlockOperation;
use tokio::sync::oneshot;

use super::capture::Record;
use capture_types::CaptureName;

const SUFFIX: &str = ".json";
const TEMPORARY: &str = ".new";

/// Writes to the state directory on a thread of its own, in the order of the calls.
#[derive(Debug)]
pub(super) struct Store {
    writer: Sender<Command>,
    /// Held as long as this daemon lives.
    _lock: File,
}

#[derive(Debug)]
enum Command {
    Save(Box<Record>, oneshot::Sender<io::Result<()>>),
    Remove(CaptureName, oneshot::Sender<io::Result<()>>),
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("state_dir {path:?}: {source}; name a directory that this user may write to")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon uses it.
    #[error("state_dir {path:?} is in use by another captured; stop it, or name another directory")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

impl Store {
    /// Opens the directory, makes it (0700) if it is missing, and reads what an earlier daemon left.
    /// What cannot be read is put aside and told of.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Record>), StoreError> {
        let directory = |source| StoreError::Directory {
            path: path.to_owned(),
            source,
        };
        let captures = path.join("captures");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&captures)
            .map_err(directory)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(directory)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            StoreError::Busy {
                path: path.to_owned(),
            }
        })?;
        let records = read_all(&captures).map_err(directory)?;
        /// More than there are captures that change at one moment.
        const QUEUE: usize = 1024;
        let (writer, commands) = bounded(QUEUE);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || write(&captures, &commands))
            .map_err(directory)?;
        Ok((
            Self {
                writer,
                _lock: lock,
            },
            records,
        ))
    }

    /// Writes a record; it is on disk when this returns.
    pub(super) async fn save(&self, record: Record) -> io::Result<()> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Save(Box::new(record), reply))?;
        done.await.map_err(|_| gone())?
    }

    /// Removes a record.
    pub(super) async fn remove(&self, name: &CaptureName) -> io::Result<()> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Remove(name.clone(), reply))?;
        done.await.map_err(|_| gone())?
    }

    fn send(&self, command: Command) -> io::Result<()> {
        self.writer.send(command).map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes the state is gone")
}

fn write(directory: &Path, commands: &Receiver<Command>) {
    while let Ok(command) = commands.recv() {
        // Whoever asked may have gone away meanwhile.
        let _ = match command {
            Command::Save(record, reply) => reply.send(save(directory, &record)),
            Command::Remove(name, reply) => reply.send(remove(directory, &name)),
        };
    }
}

fn save(directory: &Path, record: &Record) -> io::Result<()> {
    let name = &record.name;
    let temporary = directory.join(format!(".{name}{TEMPORARY}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(format!("{name}{SUFFIX}")))?;
    File::open(directory)?.sync_all()
}

fn remove(directory: &Path, name: &CaptureName) -> io::Result<()> {
    match fs::remove_file(directory.join(format!("{name}{SUFFIX}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_all(directory: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.ends_with(TEMPORARY) {
            // A daemon died while it wrote this; the file that it was to replace is whole.
            fs::remove_file(&path)?;
        } else if name.ends_with(SUFFIX) {
            let text = fs::read(&path)?;
            match serde_json::from_slice::<Record>(&text) {
                Ok(record) if format!("{}{SUFFIX}", record.name) == name => records.push(record),
                Ok(record) => put_aside(&path, &format!("it is of capture {}", record.name))?,
                Err(error) => put_aside(&path, &error.to_string())?,
            }
        }
    }
    Ok(records)
}

fn put_aside(path: &Path, why: &str) -> io::Result<()> {
    let aside = path.with_extension("unreadable");
    tracing::error!(
        "the state of a capture cannot be read and is put aside as {}: {why}; its files stay",
        aside.display()
    );
    fs::rename(path, aside)
}
