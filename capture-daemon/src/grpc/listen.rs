//! Where clients come in: a unix socket or, when somebody insists, plain TCP.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    time::sleep,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};

use super::peer::{Connection, Peer, Role};
use crate::audit;

/// Where the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A unix socket.
    #[error("socket {path:?}: {source}; name a path in a directory that this user may write to")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon listens there.
    #[error("socket {path:?}: another captured listens there; stop it, or name another path")]
    Busy {
        /// Its path.
        path: PathBuf,
    },
    /// TCP.
    #[error("address {address}: {source}; name one of this node that is free")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A connection, whatever it is made of.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

type Accepted = Connection<Box<dyn Bytes>>;

/// A place to listen at.
pub struct Listener {
    accepted: mpsc::Receiver<io::Result<Accepted>>,
}

/// When accepting fails, as without free descriptors, the next try comes after this.
const PAUSE: Duration = Duration::from_millis(100);

impl Listener {
    /// Listens at a unix socket (0600). Root, the daemon's own user and these others may connect;
    /// all are operators.
    pub fn unix(path: &Path, users: &[u32], most: usize) -> Result<Self, ListenError> {
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
        let places = Arc::new(Semaphore::new(most));
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = sender.closed() => return,
                };
                match stream {
                    Ok((stream, _)) => {
                        if let Some(peer) = unix_peer(&stream, &users) {
                            let stream: Box<dyn Bytes> = Box::new(stream);
                            let connection = Connection::new(stream, peer, place);
                            if sender.send(Ok(connection)).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(error) => {
                        tracing::warn!("a client could not be accepted: {error}");
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        Ok(Self { accepted })
    }

    /// Listens at a TCP address for anyone, without encryption.
    pub async fn insecure(address: SocketAddr, most: usize) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Tcp { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let places = Arc::new(Semaphore::new(most));
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = sender.closed() => return,
                };
                match stream {
                    Ok((stream, from)) => {
                        let identity = format!("insecure:{from}").into();
                        let peer = Peer {
                            identity,
                            role: Role::Operator,
                        };
                        let stream: Box<dyn Bytes> = Box::new(stream);
                        let connection = Connection::new(stream, peer, place);
                        if sender.send(Ok(connection)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!("a client could not be accepted: {error}");
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        Ok(Self { accepted })
    }

    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Accepted>> {
        ReceiverStream::new(self.accepted)
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

fn unix_peer(stream: &UnixStream, users: &[u32]) -> Option<Peer> {
    let user = match stream.peer_cred() {
        Ok(credentials) => credentials.uid(),
        Err(error) => {
            audit::refused("unknown", "connect", &error.to_string());
            return None;
        }
    };
    let identity: Arc<str> = format!("uid:{user}").into();
    if !users.contains(&user) {
        audit::refused(&identity, "connect", "this user is not in socket_users");
        return None;
    }
    Some(Peer {
        identity,
        role: Role::Operator,
    })
}
