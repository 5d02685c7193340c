//! TLS for clients over TCP: the daemon's certificate, the clients it accepts, and what
//! their certificates allow them to do. Both sides present a certificate; TLS 1.3 only.

use std::{net::SocketAddr, sync::Arc};

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

mod certificate;
mod files;
mod reload;
mod roles;
mod verify;

pub use self::{
    files::{CertificateFiles, FilesError},
    reload::Reloader,
    roles::{Name, Roles},
};

/// A TCP listener with mutual TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Certificates and key.
    pub files: CertificateFiles,
    /// What clients may do.
    pub roles: Arc<Roles>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
