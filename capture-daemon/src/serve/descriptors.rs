//! File descriptors: the limit of the process, and how it is divided.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::config::Config;
use crate::grpc::ConnectionLimits;

/// For logs, state, netlink, certificates and the runtime.
const OWN: u64 = 64;

/// Raises the soft limit to the hard limit; returns the limit.
pub(super) fn raise() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!("the limit of file descriptors could not be raised: {error}");
            limit.current = before;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Limits on connections, lowered where descriptors are scarce: all listeners together leave half of them
/// to captures.
pub(super) fn clients(config: &Config, descriptors: u64) -> ConnectionLimits {
    let share = descriptors.saturating_sub(OWN) / 2 / listeners(config).max(1);
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    let wanted = config.clients;
    let limits = ConnectionLimits {
        connections: wanted.connections.min(share - share / 4).max(1),
        handshakes: wanted.handshakes.min(share / 4).max(1),
    };
    if (limits.connections, limits.handshakes) != (wanted.connections, wanted.handshakes) {
        tracing::warn!(
            "{descriptors} file descriptors are few: {} connections and {} handshakes per listener; raise \
             the limit of the process (LimitNOFILE= of systemd, ulimit -n)",
            limits.connections,
            limits.handshakes
        );
    }
    limits
}

/// Descriptors left for captures.
pub(super) fn captures(config: &Config, clients: ConnectionLimits, descriptors: u64) -> u64 {
    let each = (clients.connections + clients.handshakes) as u64;
    let metrics = u64::from(capture_metrics::CONNECTIONS);
    descriptors.saturating_sub(OWN + metrics + each.saturating_mul(listeners(config)))
}

fn listeners(config: &Config) -> u64 {
    let there = [
        config.socket.is_some(),
        config.abstract_socket.is_some(),
        config.tls.is_some(),
        config.insecure_listen.is_some(),
    ];
    there.into_iter().map(u64::from).sum()
}
