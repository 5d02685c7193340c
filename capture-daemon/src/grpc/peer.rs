//! Who is at the other end of a connection.

use std::sync::Arc;

use tonic::Request;

use capture_types::Role;

/// A client, as it has proved to be.
#[derive(Debug, Clone)]
pub struct Peer {
    /// As in the audit log: `uid:0`, `cert:URI:spiffe://lab/alice`, `insecure:ADDRESS`.
    pub identity: Arc<str>,
    /// What it may do.
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
