//! The state directory: one file for each capture, replaced as a whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use tokio::sync::oneshot;

use super::record::Record;
use capture_types::CaptureName;

const SUFFIX: &str = ".json";
const TEMPORARY: &str = ".new";

/// Neither follow links nor block on a pipe.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// Writes to the state directory on a dedicated thread, in the order of the calls.
#[derive(Debug)]
pub(super) struct Store {
    writer: Sender<Command>,
    /// Locked as long as this daemon lives.
    _lock: File,
}

#[derive(Debug)]
enum Command {
    Save(Box<Record>, Save, oneshot::Sender<io::Result<()>>),
    Remove(CaptureName, oneshot::Sender<io::Result<()>>),
}

/// What to do on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Save {
    /// Saving fails, also if no space can be reserved for later.
    LeaveReserve,
    /// Saving uses the reserved space.
    WithReserve,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("state_dir {path:?}: {source}; name a directory that this user may write to")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
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
    /// Opens the directory, creates it (0700) if it is missing, and reads the records of an earlier
    /// daemon. Entries that cannot be read are moved aside and logged.
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
        // Whoever sends a command waits for it, so there are few.
        let (writer, commands) = unbounded();
        let state = Writer {
            directory: captures,
            reserve: path.join(RESERVE),
        };
        if let Err(error) = state.make_reserve() {
            tracing::error!(
                "no room can be reserved in state_dir {}: {error}; no capture can be started before",
                path.display()
            );
        }
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || state.run(&commands))
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
    pub(super) async fn save(&self, record: Record, how: Save) -> io::Result<()> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Save(Box::new(record), how, reply))?;
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

/// The file that reserves space for one state file, so that the end of a capture can be saved also when
/// the disk is full.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: u64 = 8 << 20;

struct Writer {
    directory: PathBuf,
    reserve: PathBuf,
}

impl Writer {
    fn run(&self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            // The requester may be gone meanwhile.
            let _ = match command {
                Command::Save(record, how, reply) => reply.send(self.save(&record, how)),
                Command::Remove(name, reply) => reply.send(remove(&self.directory, &name)),
            };
        }
    }

    fn save(&self, record: &Record, how: Save) -> io::Result<()> {
        let saved = save(&self.directory, record);
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match saved {
            Err(error) if how == Save::WithReserve && full(&error) => {
                fs::remove_file(&self.reserve)?;
                let saved = save(&self.directory, record);
                // The replaced file has freed space again.
                let _ = self.make_reserve();
                saved
            }
            Ok(()) if how == Save::LeaveReserve => self.make_reserve(),
            other => other,
        }
    }

    /// Creates the reserve, if it is missing.
    fn make_reserve(&self) -> io::Result<()> {
        let metadata = fs::symlink_metadata(&self.reserve);
        if metadata.is_ok_and(|metadata| metadata.len() == RESERVE_BYTES) {
            return Ok(());
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(&self.reserve)?;
        let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES);
        match allocated {
            Ok(()) => Ok(()),
            // The file system cannot reserve space.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(RESERVE_BYTES),
            Err(error) => {
                let _ = fs::remove_file(&self.reserve);
                Err(error.into())
            }
        }
    }
}

fn save(directory: &Path, record: &Record) -> io::Result<()> {
    let name = &record.name;
    let temporary = directory.join(format!(".{name}{TEMPORARY}"));
    let written = write(&temporary, &serde_json::to_vec(record)?)
        .and_then(|()| fs::rename(&temporary, directory.join(format!("{name}{SUFFIX}"))));
    if written.is_err() {
        // It uses space that others need.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove(directory: &Path, name: &CaptureName) -> io::Result<()> {
    match fs::remove_file(directory.join(format!("{name}{SUFFIX}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Larger than the state of any capture.
const LARGEST: u64 = 64 << 20;

/// Reads every state file. Other entries are moved aside: the daemon starts without them.
fn read_all(directory: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.ends_with(TEMPORARY) {
            // A daemon died while writing this; the file to be replaced is complete.
            if fs::remove_file(&path).is_err() {
                put_aside(&path, "it is not a file");
            }
        } else if name.ends_with(SUFFIX) {
            let record = read(&path).and_then(|text| {
                serde_json::from_slice::<Record>(&text).map_err(|error| error.to_string())
            });
            match record {
                Ok(record) if format!("{}{SUFFIX}", record.name) == name => records.push(record),
                Ok(record) => put_aside(&path, &format!("it is of capture {}", record.name)),
                Err(error) => put_aside(&path, &error),
            }
        }
    }
    Ok(records)
}

/// Reads a regular file, without following links and without blocking on a pipe.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NO_FOLLOW)
        .open(path)
        .map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn put_aside(path: &Path, why: &str) {
    const ASIDE: &str = "unreadable";
    let mut aside = path.with_extension(ASIDE);
    for number in 1..100 {
        if fs::symlink_metadata(&aside).is_err() {
            break;
        }
        aside = path.with_extension(format!("{ASIDE}-{number}"));
    }
    let moved = match fs::rename(path, &aside) {
        Ok(()) => format!("moved aside as {}", aside.display()),
        Err(error) => format!("left where it is, as it cannot be renamed ({error})"),
    };
    tracing::error!(
        "{} in the state directory cannot be read and is {moved}: {why}; files of the capture stay",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_entries_are_put_aside_and_the_others_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("directory.json")).expect("a directory");
        fs::create_dir(path(".directory.new")).expect("a directory");
        std::os::unix::fs::symlink("/no/such", path("dangling.json")).expect("a link");
        std::os::unix::fs::symlink("/etc/passwd", path("link.json")).expect("a link");
        fs::write(path("garbage.json"), [0xff; 100]).expect("a file");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe");
        assert!(
            read_all(directory.path())
                .expect("it can be listed")
                .is_empty()
        );
        for name in ["directory", "dangling", "link", "garbage", "pipe"] {
            let aside = path(&format!("{name}.unreadable"));
            assert!(fs::symlink_metadata(&aside).is_ok(), "{name}");
            assert!(
                fs::symlink_metadata(path(&format!("{name}.json"))).is_err(),
                "{name}"
            );
        }
    }

    /// As daemons before captures of pods have written it.
    const BEFORE_PODS: &str = r#"{"name":"web","uid":"1eed","request":{"spec":{"name":"web",
        "interfaces":["Any"],"filter":{"expression":"tcp","targets":{"hosts":false,"ports":false,
        "not_hosts":false,"not_ports":false},"inner":null},"targets":{"hosts":null,"ports":null,
        "not_hosts":null,"not_ports":null},"direction":"InOut","promiscuous":true,
        "include_own_traffic":false,"snaplen":262144,"ring_size":8388608,"output":"Stdout",
        "limits":{"duration":null,"packets":null}},"stop":{"bytes":null,"deadline":null},
        "keep_for":null,"labels":{},"reason":"","request_id":"33a1","fingerprint":null,
        "created_by":"uid:0"},"state":"running","state_reason":null,"message":"","created":1,
        "started":2,"ended":null,"totals":{"total":{"seen":0,"filtered":0,"matched":0,"submitted":0,
        "ring_full":0,"unreadable":0,"written":0,"discarded":{"queue_full":0,"disk_full":0,
        "write_error":0,"stopped":0},"truncated":0},"interfaces":[],"bytes":0,"files":0},
        "warnings":[],"resumed":0,"generation":2,"session":null,"saved":3,"unsettled":false}"#;

    #[test]
    fn a_state_file_of_before_pods_is_read_and_its_request_has_the_digest_that_it_had() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("web.json"), BEFORE_PODS).expect("a file");
        let records = read_all(directory.path()).expect("it can be listed");
        let [record] = records.as_slice() else {
            panic!("{records:?}");
        };
        assert!(record.request.spec.pods.is_none() && record.pods.is_empty());
        // A request that is repeated after an upgrade has to be the same: no key is new in it.
        let before: serde_json::Value = serde_json::from_str(BEFORE_PODS).expect("JSON");
        let mut now = serde_json::to_value(record).expect("JSON");
        // The ledger has a counter that was not there; there were no such packets.
        let total = &mut now["totals"]["total"];
        let duplicate = total
            .as_object_mut()
            .and_then(|total| total.remove("duplicate"));
        assert_eq!(duplicate, Some(0.into()));
        assert_eq!(now, before);
    }
}
