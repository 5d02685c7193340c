//! TCP for clients that authenticate with a certificate.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{CertificateError, Error},
};

use super::{
    Acceptor, ConnectionLimits, Io, ListenError, Listener, Refused, revocable::Revocable, tcp,
};
use crate::{
    grpc::peer::Peer,
    tls::{Reloader, TlsSettings},
};

impl Listener {
    /// Listens at a TCP address for clients with certificates. Also returns the handle for
    /// reloading certificates and roles.
    pub async fn tls(
        settings: TlsSettings,
        limits: ConnectionLimits,
    ) -> Result<(Self, Arc<Reloader>), ListenError> {
        let address = settings.listen;
        let reloader = Reloader::open(settings)?;
        let listener = tcp::bind(address).await?;
        let tls = Tls {
            listener,
            reloader: Arc::clone(&reloader),
        };
        Ok((Self::new(tls, limits), reloader))
    }
}

struct Tls {
    listener: TcpListener,
    reloader: Arc<Reloader>,
}

/// Bytes that a rejected client may still send while the reason is on its way to it.
const FAREWELL: u64 = 64 << 10;
const FAREWELL_TIME: Duration = Duration::from_secs(1);

impl Acceptor for Tls {
    type Incoming = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Incoming> {
        tcp::accept(&self.listener).await
    }

    fn from((_, from): &Self::Incoming) -> Option<IpAddr> {
        Some(from.ip())
    }

    async fn authenticate(
        &self,
        (stream, _): Self::Incoming,
    ) -> Result<(Box<dyn Io>, Peer), Refused> {
        let (config, verifier) = self
            .reloader
            .connection()
            .map_err(|error| because(None, error))?;
        let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
        match accepting.await {
            Ok(stream) => match verifier.proved() {
                Some(client) => {
                    let peer = Peer {
                        identity: format!("cert:{}", client.identity).into(),
                        role: client.role,
                    };
                    let revoked = self.reloader.revoked(client);
                    let stream = Revocable::new(stream, peer.identity.clone(), revoked);
                    Ok((Box::new(stream), peer))
                }
                // Cannot happen: the verifier requires a certificate.
                None => Err(because(None, "it has no certificate")),
            },
            Err((error, stream)) => {
                let claimed = verifier
                    .claimed()
                    .map(|name| format!("cert:{name} (not proved)"));
                let Some(why) = why(&error) else {
                    return Err(Refused::Silent);
                };
                dismiss(stream).await;
                Err(because(claimed, why))
            }
        }
    }
}

fn because(who: Option<String>, why: impl ToString) -> Refused {
    Refused::Because {
        who,
        why: why.to_string(),
    }
}

/// Closes the connection so that the reason arrives: unread bytes at the close of a socket make the
/// kernel send a reset (RFC 1122, 4.2.2.13), which overtakes the reason.
async fn dismiss(mut stream: TcpStream) {
    let farewell = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL), &mut tokio::io::sink()).await
    };
    // A client that is gone needs no reason, and one that stays has received it.
    let _ = timeout(FAREWELL_TIME, farewell).await;
}

/// The reason, in terms of the daemon's settings; `None` for a client that has sent nothing.
fn why(error: &io::Error) -> Option<String> {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let Some(error) = inner else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => None,
            _ => Some(error.to_string()),
        };
    };
    Some(match error {
        Error::NoCertificatesPresented => "it has no certificate".to_owned(),
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not from an authority in tls.client_ca".to_owned()
            }
            CertificateError::ApplicationVerificationFailure => {
                "no [[client]] matches its certificate, and there is no tls.default_role".to_owned()
            }
            reason => format!("its certificate cannot be used: {reason}"),
        },
        Error::AlertReceived(alert) => {
            format!("it rejected the daemon's certificate: {alert:?}")
        }
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        Error::PeerIncompatible(reason) => format!("it does not speak TLS 1.3: {reason:?}"),
        other => other.to_string(),
    })
}
