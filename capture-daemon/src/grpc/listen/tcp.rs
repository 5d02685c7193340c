//! Plain TCP, without encryption or authentication.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpListener, TcpStream};

use super::{Acceptor, ConnectionLimits, Io, ListenError, Listener, Refused};
use crate::grpc::peer::Peer;
use capture_types::Role;

impl Listener {
    /// Listens at a TCP address for anyone, without encryption.
    pub async fn insecure(
        address: SocketAddr,
        bounds: ConnectionLimits,
    ) -> Result<Self, ListenError> {
        let listener = bind(address).await?;
        Ok(Self::new(Insecure(listener), bounds))
    }
}

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError::Tcp { address, source })
}

/// Accepts the next connection. Requests are small and clients wait for responses, so nothing is
/// delayed.
pub(super) async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    // Works without it too.
    let _ = stream.set_nodelay(true);
    Ok((stream, from))
}

struct Insecure(TcpListener);

impl Acceptor for Insecure {
    type Incoming = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Incoming> {
        accept(&self.0).await
    }

    fn from((_, from): &Self::Incoming) -> Option<IpAddr> {
        Some(from.ip())
    }

    async fn authenticate(
        &self,
        (stream, from): Self::Incoming,
    ) -> Result<(Box<dyn Io>, Peer), Refused> {
        let peer = Peer {
            identity: format!("insecure:{}", from.ip()).into(),
            role: Role::Operator,
        };
        Ok((Box::new(stream), peer))
    }
}
