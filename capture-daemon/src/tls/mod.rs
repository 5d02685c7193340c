//! TLS for clients that come over TCP: the daemon's certificate, whose clients it takes, and what
//! their certificates let them do. Both sides show a certificate; TLS 1.3 only.

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

/// A TCP listener for clients with certificates.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificates and key.
    pub files: CertificateFiles,
    /// What clients may do.
    pub roles: Arc<Roles>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
