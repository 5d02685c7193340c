//! The identity of a connection's client.

use std::sync::Arc;

use tonic::Request;

use capture_types::Role;

/// An authenticated client.
#[derive(Debug, Clone)]
pub struct Peer {
    /// As in the audit log: `uid:0`, `cert:URI:spiffe://lab/alice`, `insecure:ADDRESS`.
    pub identity: Arc<str>,
    /// Its role.
    pub role: Role,
}

/// The client that sent a request. Every connection has been authenticated.
pub(super) fn of<T>(request: &Request<T>) -> Peer {
    request
        .extensions()
        .get::<Peer>()
        .cloned()
        .unwrap_or_else(|| Peer {
            identity: "unknown".into(),
            role: Role::Viewer,
        })
}
