//! The promiscuous flag of an interface, shared by recorders without CAP_NET_RAW.
//!
//! The kernel neither counts who needs the flag nor clears it when a process dies. So for each interface
//! whose flag a recorder has set there is a file in [`DIRECTORY`]. Each recorder that needs the flag has
//! a shared lock on the file (flock(2)), which the kernel releases when the process dies. A recorder
//! that gets an exclusive lock knows that no other one needs the flag: the last one to leave clears the
//! flag, and a recorder that starts clears the flags of unlocked files. A flag that was set before is
//! somebody else's: it is neither recorded nor cleared.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt as _;
use rtnetlink::{Handle, LinkUnspec, packet_route::link::LinkFlags};
use rustix::fs::{FlockOperation, flock};

use crate::interfaces::{Interface, interface};

/// Where the files are; empty again after a reboot, as the flags are.
const DIRECTORY: &str = "/run/captured/promiscuous";

/// The flag could not be set or cleared.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// The file cannot be used.
    #[error("{path:?}: {source}")]
    File {
        /// The file, or its directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// rtnetlink(7) failed.
    #[error(transparent)]
    Netlink(#[from] rtnetlink::Error),
}

/// A recorder's share of an interface's flag.
#[derive(Debug)]
pub(super) struct FlagHold {
    file: File,
    path: PathBuf,
    ifindex: u32,
}

impl FlagHold {
    /// Sets the flag, or shares it with other recorders; `None` if somebody else has set it.
    pub(super) async fn take(
        netlink: &Handle,
        interface: &Interface,
    ) -> Result<Option<Self>, FlagError> {
        let path = path(interface.ifindex)?;
        let _turn = Turn::take().await?;
        let mut file = open(&path).map_err(failed(&path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let mut noted = String::new();
            file.read_to_string(&mut noted).map_err(failed(&path))?;
            if noted != identity(interface) {
                // No recorder has set the flag for this interface yet.
                if is_set(netlink, interface.ifindex).await? {
                    fs::remove_file(&path).map_err(failed(&path))?;
                    return Ok(None);
                }
                file.set_len(0)
                    .and_then(|()| file.write_all(identity(interface).as_bytes()))
                    .map_err(failed(&path))?;
            }
            set(netlink, interface.ifindex, true).await?;
        }
        flock(&file, FlockOperation::LockShared)
            .map_err(io::Error::from)
            .map_err(failed(&path))?;
        Ok(Some(Self {
            file,
            path,
            ifindex: interface.ifindex,
        }))
    }

    /// Clears the flag if no other recorder needs it.
    pub(super) async fn release(self, netlink: &Handle) -> Result<(), FlagError> {
        let _turn = Turn::take().await?;
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            clear(netlink, &self.path, self.ifindex).await?;
        }
        Ok(())
    }
}

/// Clears the flags that killed recorders have left in this network namespace.
pub(super) async fn remove_leftovers(netlink: &Handle) -> Result<usize, FlagError> {
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return Ok(0);
    };
    let _turn = Turn::take().await?;
    let prefix = namespace().map_err(failed(Path::new(DIRECTORY)))?;
    let mut cleared = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        let Some(ifindex) = index.and_then(|index| index.parse().ok()) else {
            continue;
        };
        let mut file = open(&path).map_err(failed(&path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let mut noted = String::new();
        file.read_to_string(&mut noted).map_err(failed(&path))?;
        match find(netlink, ifindex).await? {
            Some(found) if identity(&found) == noted => {
                clear(netlink, &path, ifindex).await?;
                cleared += 1;
            }
            // Another interface has this index now.
            _ => fs::remove_file(&path).map_err(failed(&path))?,
        }
    }
    Ok(cleared)
}

async fn clear(netlink: &Handle, path: &Path, ifindex: u32) -> Result<(), FlagError> {
    match set(netlink, ifindex, false).await {
        // The interface is gone, and its flag with it.
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => {}
        result => result?,
    }
    fs::remove_file(path).map_err(failed(path))
}

async fn set(netlink: &Handle, ifindex: u32, on: bool) -> Result<(), rtnetlink::Error> {
    let message = LinkUnspec::new_with_index(ifindex).promiscuous(on).build();
    netlink.link().set(message).execute().await
}

async fn is_set(netlink: &Handle, ifindex: u32) -> Result<bool, rtnetlink::Error> {
    let request = netlink.link().get().match_index(ifindex);
    let mut links = Box::pin(request.execute());
    let link = links.try_next().await?;
    Ok(link.is_some_and(|link| link.header.flags.contains(LinkFlags::Promisc)))
}

async fn find(netlink: &Handle, ifindex: u32) -> Result<Option<Interface>, rtnetlink::Error> {
    let request = netlink.link().get().match_index(ifindex);
    let mut links = Box::pin(request.execute());
    match links.try_next().await {
        Ok(link) => Ok(link.as_ref().and_then(interface)),
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lock for decisions about flags, one recorder at a time. Released when this is dropped.
struct Turn {
    _directory: File,
}

impl Turn {
    /// Waits for the lock, on a thread for blocking calls.
    async fn take() -> Result<Self, FlagError> {
        let taken = tokio::task::spawn_blocking(Self::take_blocking).await;
        taken
            .map_err(io::Error::other)
            .map_err(failed(Path::new(DIRECTORY)))?
    }

    fn take_blocking() -> Result<Self, FlagError> {
        let path = Path::new(DIRECTORY);
        let directory = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| File::open(path))
            .and_then(|directory| {
                // Others hold it only for a few system calls.
                flock(&directory, FlockOperation::LockExclusive)?;
                Ok(directory)
            });
        directory
            .map(|directory| Self {
                _directory: directory,
            })
            .map_err(failed(path))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn path(ifindex: u32) -> Result<PathBuf, FlagError> {
    let directory = Path::new(DIRECTORY);
    let prefix = namespace().map_err(failed(directory))?;
    Ok(directory.join(format!("{prefix}{ifindex}")))
}

/// The prefix of file names for this network namespace.
fn namespace() -> io::Result<String> {
    Ok(format!(
        "{}-",
        fs::metadata("/proc/thread-self/ns/net")?.ino()
    ))
}

/// Distinguishes an interface from a later one with the same index.
fn identity(interface: &Interface) -> String {
    let address: Vec<String> = interface
        .address
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}\n", address.join(":"))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FlagError {
    move |source| FlagError::File {
        path: path.to_owned(),
        source,
    }
}
