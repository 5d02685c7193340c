//! Connections of clients, over TLS or without. Their number is bounded, and so is the time that each may be
//! silent.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Extension, Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::tls::Certificate;

/// Connections at once, including those in the handshake.
const CONNECTIONS: usize = 1024;
/// How long a handshake may take, and how long a connection may wait for its next request.
const HEAD: Duration = Duration::from_secs(20);
/// How long a client may take no data, milliseconds.
const STALLED: u32 = 60_000;
/// How long requests may take to end at shutdown.
const END: Duration = Duration::from_secs(5);

/// An address that is listened on.
pub struct Listener {
    listener: TcpListener,
    certificate: Option<Certificate>,
}

impl Listener {
    /// Listens, with a certificate and its key for TLS.
    ///
    /// # Errors
    /// The address cannot be listened on, or the certificate cannot be used.
    pub async fn bind(address: SocketAddr, tls: Option<(PathBuf, PathBuf)>) -> Result<Self> {
        let mut certificate = tls.map(|(certificate, key)| Certificate::new(certificate, key));
        if let Some(certificate) = &mut certificate {
            certificate.config().context("the server's certificate")?;
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| {
                format!("listen {address}: give an address that can be listened on, as in --listen 127.0.0.1:8001")
            })?;
        Ok(Self {
            listener,
            certificate,
        })
    }

    /// Where the page is.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = self.listener.local_addr().unwrap_or(nowhere);
        format!("{scheme}://{address}")
    }
}

/// Serves until told to stop.
pub async fn serve(mut listener: Listener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tracker = TaskTracker::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else {
            break;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // For example no free descriptors, which passes.
                tracing::warn!("accepting a client: {error}");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let tls = match &mut listener.certificate {
            None => None,
            Some(certificate) => match certificate.config() {
                Ok(config) => Some(TlsAcceptor::from(config)),
                Err(error) => {
                    tracing::error!("the server's certificate cannot be used: {error:#}");
                    continue;
                }
            },
        };
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        let stop = stop.clone();
        tracker.spawn(async move {
            connection(stream, tls, router, stop).await;
            drop(place);
        });
    }
    tracker.close();
    if timeout(END, tracker.wait()).await.is_err() {
        tracing::warn!("{} connections are ended in the middle", tracker.len());
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    // A client that takes nothing would otherwise keep the answer in memory for ever.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, STALLED);
    match tls {
        None => requests(stream, router, stop).await,
        Some(tls) => match timeout(HEAD, tls.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, router, stop).await,
            Ok(Err(error)) => tracing::debug!("a client: {error}"),
            Err(_) => tracing::debug!("a client: no TLS in {HEAD:?}"),
        },
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    let service = TowerToHyperService::new(router);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client: {error}");
    }
}
