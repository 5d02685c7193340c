//! A unix socket, whose peers are authenticated by the kernel.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::{Acceptor, ConnectionLimits, Io, ListenError, Listener, Refused};
use crate::grpc::peer::Peer;
use capture_types::Role;

impl Listener {
    /// Listens at a unix socket (0600). Root, the daemon's own user and the given users may
    /// connect; all are operators. Also returns the socket's file, which is to be removed at the
    /// end.
    pub fn unix(
        path: &Path,
        users: &[u32],
        limits: ConnectionLimits,
    ) -> Result<(Self, SocketFile), ListenError> {
        let failed = |source| ListenError::Socket {
            path: path.to_owned(),
            source,
        };
        remove_stale(path)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Configured users get access through the group or an ACL of the directory; their identity
        // is checked below in any case.
        let mode = if users.is_empty() { 0o600 } else { 0o666 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        let file = SocketFile::new(path).map_err(failed)?;
        let unix = Unix::new(listener, users, false);
        Ok((Self::new(unix, limits), file))
    }

    /// Listens at an abstract unix socket (unix(7)), which has no file and exists in the network namespace
    /// of the daemon. Works for clients that send the path of a socket as `:authority`.
    pub fn abstract_unix(
        name: &str,
        users: &[u32],
        limits: ConnectionLimits,
    ) -> Result<Self, ListenError> {
        use std::os::linux::net::SocketAddrExt as _;
        let failed = |source| ListenError::Socket {
            path: format!("@{name}").into(),
            source,
        };
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).map_err(failed)?;
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self::new(Unix::new(listener, users, true), limits))
    }
}

/// The file of a unix socket, as it was created.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Removes it, unless the path is another file by now.
    pub fn remove(&self) {
        let same = fs::symlink_metadata(&self.path).is_ok_and(|metadata| {
            metadata.file_type().is_socket()
                && (metadata.dev(), metadata.ino()) == (self.device, self.inode)
        });
        if same {
            // If this fails, the next daemon removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Unix {
    listener: UnixListener,
    users: Vec<u32>,
    /// An abstract socket has no file whose permissions and mount exclude processes of containers that
    /// share the network namespace.
    is_abstract: bool,
}

impl Unix {
    fn new(listener: UnixListener, users: &[u32], is_abstract: bool) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let mut users = users.to_vec();
        users.extend([0, own]);
        Self {
            listener,
            users,
            is_abstract,
        }
    }
}

/// Whether a process sees the same files as the daemon does.
fn shares_mounts(process: Option<i32>) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt"));
    let Some(process) = process else {
        return false;
    };
    match (namespace("self"), namespace(&process.to_string())) {
        (Ok(own), Ok(other)) => own == other,
        _ => false,
    }
}

impl Acceptor for Unix {
    type Incoming = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    fn from(_: &UnixStream) -> Option<IpAddr> {
        None
    }

    async fn authenticate(&self, stream: UnixStream) -> Result<(Box<dyn Io>, Peer), Refused> {
        let credentials = stream.peer_cred().map_err(|error| Refused::Because {
            who: None,
            why: error.to_string(),
        })?;
        let user = credentials.uid();
        if !self.users.contains(&user) {
            return Err(Refused::Because {
                who: Some(format!("uid:{user}")),
                why: "this user is not in socket_users".to_owned(),
            });
        }
        if self.is_abstract && !shares_mounts(credentials.pid()) {
            return Err(Refused::Because {
                who: Some(format!("uid:{user}")),
                why: "it runs in another mount namespace, as in a container; use the socket that has a \
                      file"
                    .to_owned(),
            });
        }
        let peer = Peer {
            identity: format!("uid:{user}").into(),
            role: Role::Operator,
        };
        Ok((Box::new(stream), peer))
    }
}

/// Removes the socket of a daemon that was killed; nobody listens at it any more.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ListenError::Busy {
            path: path.to_owned(),
        });
    }
    if metadata.file_type().is_socket() {
        let failed = |source| ListenError::Socket {
            path: path.to_owned(),
            source,
        };
        fs::remove_file(path).map_err(failed)?;
    }
    Ok(())
}
