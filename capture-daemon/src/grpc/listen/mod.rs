//! Where clients come in: a unix socket, TCP with certificates or, when somebody insists, plain TCP.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::{interval, sleep, timeout},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};

use self::refusals::Refusals;
use super::peer::{Connection, Peer};
use crate::tls::FilesError;

mod refusals;
mod tcp;
mod tls;
mod unix;

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
    /// Certificates and key.
    #[error(transparent)]
    Tls(#[from] FilesError),
}

/// How many clients there may be.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections that are in, of each listener.
    pub connections: usize,
    /// Connections that are on their way in.
    pub handshakes: usize,
}

/// A connection, whatever it is made of.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

type Accepted = Connection<Box<dyn Io>>;

/// What a kind of listener does in its own way.
trait Acceptor: Send + Sync + 'static {
    type Incoming: Send + 'static;

    /// Somebody comes.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Incoming>> + Send;

    /// Where from, as far as that is known before anything is said.
    fn from(incoming: &Self::Incoming) -> Option<IpAddr>;

    /// Finds out who it is. `Err` says why the client does not come in.
    fn authenticate(
        &self,
        incoming: Self::Incoming,
    ) -> impl Future<Output = Result<(Box<dyn Io>, Peer), Refused>> + Send;
}

/// Why a client does not come in.
enum Refused {
    /// It has proved who it is, or claims to be somebody.
    Because {
        /// Who, where it is known.
        who: Option<String>,
        /// Why.
        why: String,
    },
    /// It has gone without a word, as probes of a port do.
    Silent,
}

/// A place to listen at.
pub struct Listener {
    accepted: mpsc::Receiver<io::Result<Accepted>>,
}

/// When accepting fails, as without free descriptors, the next try comes after this.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to prove who it is, and then to wait for a place.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often refusals are told that were too many to be told one by one.
const SUMMARY: Duration = Duration::from_secs(10);

impl Listener {
    fn new(acceptor: impl Acceptor, bounds: ConnectionLimits) -> Self {
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(serve(Arc::new(acceptor), bounds, sender));
        Self { accepted }
    }

    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Accepted>> {
        ReceiverStream::new(self.accepted)
    }
}

/// Lets clients in until nobody takes them any more. Those on their way in cannot hold up others:
/// when there are too many, the one that has been at it longest is closed.
async fn serve<D: Acceptor>(
    acceptor: Arc<D>,
    bounds: ConnectionLimits,
    sender: mpsc::Sender<io::Result<Accepted>>,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let refusals = Arc::new(Refusals::default());
    let mut entering = JoinSet::new();
    let mut by_age: VecDeque<(AbortHandle, String)> = VecDeque::new();
    let mut summaries = interval(SUMMARY);
    loop {
        let incoming = tokio::select! {
            incoming = acceptor.accept() => incoming,
            Some(_) = entering.join_next() => continue,
            _ = summaries.tick() => {
                refusals.summarise();
                continue;
            }
            () = sender.closed() => return,
        };
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(error) => {
                refusals.report("unknown", &format!("it could not be accepted: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        by_age.retain(|(task, _)| !task.is_finished());
        if by_age.len() >= bounds.handshakes
            && let Some((oldest, from)) = by_age.pop_front()
        {
            oldest.abort();
            refusals.report(
                &from,
                "others wait, and it took longest (limits.handshakes)",
            );
        }
        let from = D::from(&incoming).map(|address| address.to_string());
        let name = from.clone().unwrap_or_else(|| "a client".to_owned());
        let (acceptor, refusals) = (Arc::clone(&acceptor), Arc::clone(&refusals));
        let (places, sender) = (Arc::clone(&places), sender.clone());
        let task = entering.spawn(async move {
            let admitted = match timeout(PATIENCE, pin!(acceptor.authenticate(incoming))).await {
                Ok(admitted) => admitted,
                Err(_) => Err(Refused::Because {
                    who: None,
                    why: format!("it has not said who it is within {PATIENCE:?}"),
                }),
            };
            match admitted {
                Ok((stream, peer)) => {
                    let place = timeout(PATIENCE, places.acquire_owned()).await;
                    if let Ok(Ok(place)) = place {
                        let connection = Connection::new(stream, peer, place);
                        // Otherwise the daemon ends.
                        let _ = sender.send(Ok(connection)).await;
                    } else {
                        refusals
                            .report(&peer.identity, "all places are taken (limits.connections)");
                    }
                }
                Err(Refused::Because { who, why }) => {
                    let who = match (who, from) {
                        (Some(who), Some(from)) => format!("{who} at {from}"),
                        (Some(one), None) | (None, Some(one)) => one,
                        (None, None) => "unknown".to_owned(),
                    };
                    refusals.report(&who, &why);
                }
                Err(Refused::Silent) => tracing::debug!("{from:?} came and went"),
            }
        });
        by_age.push_back((task, name));
    }
}
