//! Distinguishes filters of a running recorder from those that a killed recorder left behind.
//!
//! A process id is not enough: recorders in two containers can share interfaces, but not process ids.
//! An abstract unix socket (unix(7)) lives as long as its process and belongs to a network namespace,
//! like the interfaces.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// The beginning of the names of our filters: `captured:<token of the owner>:<capture>`.
pub(super) const PREFIX: &str = "captured:";

/// This process as the owner of filters.
#[derive(Debug)]
pub struct Owner {
    token: String,
    // Only needs to be bound.
    _socket: UnixDatagram,
}

impl Owner {
    /// Acquires a token that no other owner in this network namespace has.
    ///
    /// # Errors
    ///
    /// The socket could not be created.
    pub fn new() -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let token = format!("{:016x}", u64::from_ne_bytes(random));
        let socket = UnixDatagram::bind_addr(&address(&token)?)?;
        Ok(Self {
            token,
            _socket: socket,
        })
    }

    /// The name of a filter of this owner.
    #[must_use]
    pub fn filter_name(&self, capture: &str) -> String {
        format!("{PREFIX}{}:{capture}", self.token)
    }
}

/// Whether a filter of this name belongs to a recorder that no longer runs.
#[must_use]
pub(super) fn is_leftover(filter_name: &str) -> bool {
    let Some((token, _capture)) = filter_name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once(':'))
    else {
        return false;
    };
    let reached = address(token)
        .and_then(|owner| UnixDatagram::unbound().and_then(|socket| socket.connect_addr(&owner)));
    matches!(reached, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

fn address(token: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{PREFIX}{token}"))
}

#[cfg(test)]
mod tests {
    use super::{Owner, is_leftover};

    #[test]
    fn only_a_filter_whose_owner_is_gone_is_a_leftover() {
        let owner = Owner::new().unwrap();
        let name = owner.filter_name("web");
        assert!(!is_leftover(&name), "its owner runs");
        drop(owner);
        assert!(is_leftover(&name), "its owner is gone");
        for foreign in [
            "cil_from_netdev",
            "captured",
            "captured:",
            "captured:x",
            "bpf:1:1",
        ] {
            assert!(!is_leftover(foreign), "{foreign} is not ours");
        }
    }
}
