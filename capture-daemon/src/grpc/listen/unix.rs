//! A unix socket, whose other end the kernel knows.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
};

use tokio::net::{UnixListener, UnixStream};

use super::{Acceptor, ConnectionLimits, Io, ListenError, Listener, Refused};
use crate::grpc::peer::Peer;
use capture_types::Role;

impl Listener {
    /// Listens at a unix socket (0600). Root, the daemon's own user and these others may connect;
    /// all are operators.
    pub fn unix(path: &Path, users: &[u32], bounds: ConnectionLimits) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket {
            path: path.to_owned(),
            source,
        };
        remove_stale(path)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Others that are configured get in through the group or an ACL of the directory; who they
        // are is checked below in any case.
        let mode = if users.is_empty() { 0o600 } else { 0o666 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        let own = rustix::process::geteuid().as_raw();
        let mut users = users.to_vec();
        users.extend([0, own]);
        Ok(Self::new(Unix { listener, users }, bounds))
    }
}

struct Unix {
    listener: UnixListener,
    users: Vec<u32>,
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
        let peer = Peer {
            identity: format!("uid:{user}").into(),
            role: Role::Operator,
        };
        Ok((Box::new(stream), peer))
    }
}

/// A daemon that was killed leaves its socket behind; nobody listens at it any more.
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
