//! The nodes that a command is sent to.

use std::{fmt, path::PathBuf};

/// A node, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: Address,
    /// Certificates; `None` on a socket, or if TLS was turned off.
    pub tls: Option<Tls>,
}

/// The address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
}

/// Files with certificates, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate of the authority that signed the nodes' certificates.
    pub cacert: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The name in the nodes' certificates, if different from the host.
    pub server_name: Option<String>,
}

impl Target {
    /// The daemon at a unix socket on this machine.
    #[must_use]
    pub const fn socket(path: PathBuf) -> Self {
        Self {
            address: Address::Unix(path),
            tls: None,
        }
    }

    /// Its label in tables and messages: `HOST:PORT`, or "local" for a socket.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.address {
            Address::Unix(_) => "local".to_owned(),
            Address::Tcp(host) => host.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}
