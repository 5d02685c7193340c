//! Listeners for clients: a unix socket, TCP with certificates or, if explicitly configured, plain
//! TCP.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};

use self::{connection::Connection, handshakes::Handshakes, places::Places};
use super::peer::Peer;
use crate::{audit, tls::FilesError};

mod connection;
mod handshakes;
mod places;
mod revocable;
mod tcp;
mod tls;
mod unix;

pub use self::unix::SocketFile;

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A unix socket.
    #[error("socket {path:?}: {source}; name a path in a directory that this user may write to")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another daemon listens there.
    #[error("socket {path:?}: another captured listens there; stop it, or name another path")]
    Busy {
        /// Its path.
        path: PathBuf,
    },
    /// TCP.
    #[error("address {address}: {source}; name a free address of this node")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Certificates and key.
    #[error(transparent)]
    Tls(#[from] FilesError),
}

/// Limits on clients, for each listener: they do not compete across listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of authenticated clients.
    pub connections: usize,
    /// Connections of clients that are not authenticated yet.
    pub handshakes: usize,
}

/// A connection over any transport.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

type Accepted = Connection<Box<dyn Io>>;

/// A kind of listener.
trait Acceptor: Send + Sync + 'static {
    type Incoming: Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Incoming>> + Send;

    /// The client's address, as far as it is known before authentication.
    fn from(incoming: &Self::Incoming) -> Option<IpAddr>;

    /// Authenticates the client. `Err` says why the client is rejected.
    fn authenticate(
        &self,
        incoming: Self::Incoming,
    ) -> impl Future<Output = Result<(Box<dyn Io>, Peer), Refused>> + Send;
}

/// Why a client is rejected.
enum Refused {
    /// The client has authenticated or claimed an identity.
    Because {
        /// The identity, if known.
        who: Option<String>,
        /// Why.
        why: String,
    },
    /// The client closed the connection without sending anything, like port probes.
    Silent,
}

/// Accepts clients at one address or path.
pub struct Listener {
    accepted: mpsc::Receiver<io::Result<Accepted>>,
}

/// When accepting fails, for example without free descriptors, the next attempt comes after this
/// pause.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to authenticate and to start HTTP/2, and then to wait for a place.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection preface of HTTP/2 clients (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Listener {
    fn new(acceptor: impl Acceptor, limits: ConnectionLimits) -> Self {
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(serve(Arc::new(acceptor), limits, sender));
        Self { accepted }
    }

    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Accepted>> {
        ReceiverStream::new(self.accepted)
    }
}

/// Accepts clients until the receiver is gone. While all handshakes are in use, new connections wait
/// in the kernel's queue.
async fn serve<A: Acceptor>(
    acceptor: Arc<A>,
    limits: ConnectionLimits,
    sender: mpsc::Sender<io::Result<Accepted>>,
) {
    let places = Places::new(limits.connections);
    let mut handshakes = Handshakes::new(limits.handshakes);
    loop {
        tokio::select! {
            () = handshakes.room() => {}
            () = sender.closed() => return,
        }
        let incoming = tokio::select! {
            incoming = acceptor.accept() => incoming,
            () = sender.closed() => return,
        };
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(error) => {
                let why = format!("its connection could not be accepted: {error}");
                audit::refused("unknown", "connect", &why);
                sleep(PAUSE).await;
                continue;
            }
        };
        let from = A::from(&incoming);
        let (acceptor, places, sender) =
            (Arc::clone(&acceptor), Arc::clone(&places), sender.clone());
        handshakes.start(from, async move {
            let entered = enter(&*acceptor, incoming, &places).await;
            match entered {
                Ok(connection) => {
                    // If this fails, the daemon is shutting down.
                    let _ = sender.send(Ok(connection)).await;
                }
                Err(Refused::Because { who, why }) => {
                    let who = match (who, from) {
                        (Some(who), Some(from)) => format!("{who} at {from}"),
                        (Some(who), None) => who,
                        (None, Some(from)) => from.to_string(),
                        (None, None) => "unknown".to_owned(),
                    };
                    audit::refused(&who, "connect", &why);
                }
                Err(Refused::Silent) => tracing::debug!("{from:?} connected and disconnected"),
            }
        });
    }
}

/// Admits one client: it authenticates, starts HTTP/2 and gets a place.
async fn enter<A: Acceptor>(
    acceptor: &A,
    incoming: A::Incoming,
    places: &Arc<Places>,
) -> Result<Accepted, Refused> {
    let begun = async {
        let (mut stream, peer) = pin!(acceptor.authenticate(incoming)).await?;
        let mut preface = [0; PREFACE.len()];
        let mut read = 0;
        while read < preface.len() {
            match stream.read(&mut preface[read..]).await {
                Ok(0) | Err(_) => return Err(Refused::Silent),
                Ok(more) => read += more,
            }
            if !PREFACE.starts_with(&preface[..read]) {
                return Err(Refused::Because {
                    who: Some(peer.identity.to_string()),
                    why: "it does not speak HTTP/2, which gRPC needs".to_owned(),
                });
            }
        }
        Ok((stream, peer))
    };
    let late = || Refused::Because {
        who: None,
        why: format!("it did not authenticate and start HTTP/2 within {PATIENCE:?}"),
    };
    let (stream, peer) = timeout(PATIENCE, begun).await.map_err(|_| late())??;
    match timeout(PATIENCE, places.take(&peer)).await {
        Ok(place) => Ok(Connection::new(&PREFACE[..], stream, peer, place)),
        Err(_) => Err(Refused::Because {
            who: Some(peer.identity.to_string()),
            why: "the client has reached its limit of connections (limits.connections)".to_owned(),
        }),
    }
}
