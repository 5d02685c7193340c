//! Promiscuous mode: an interface accepts packets for other hosts, and a bridge passes on the
//! packets it forwards, as long as a process requests the mode.
//!
//! A process with CAP_NET_RAW requests the mode through a packet socket. The kernel counts these
//! requests, and ends the mode when the last socket closes, also after a crash. Without CAP_NET_RAW
//! there is only the flag that `ip link set promisc on` sets, which is not counted: see
//! [`super::promiscuous_flag`].

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rtnetlink::Handle;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::promiscuous_flag::{FlagError, FlagHold};
use crate::interfaces::Interface;
use capture_kernel::syscall::{Membership, promiscuous_membership};

/// Promiscuous mode could not be switched on.
#[derive(Debug, thiserror::Error)]
pub enum PromiscuousError {
    /// The packet socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The flag could not be held.
    #[error("{0}; with CAP_NET_RAW the kernel counts who needs it, and no file is needed")]
    Flag(#[from] FlagError),
}

/// The interfaces that one capture keeps in promiscuous mode.
#[derive(Debug)]
pub struct Promiscuous(Way);

#[derive(Debug)]
enum Way {
    /// The packet socket receives nothing: its protocol is 0.
    Socket(OwnedFd),
    /// By ifindex.
    Flags(BTreeMap<u32, FlagHold>),
}

impl Promiscuous {
    /// No interfaces yet.
    ///
    /// # Errors
    ///
    /// The packet socket could not be opened, for another reason than a missing CAP_NET_RAW.
    pub fn new() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        );
        match socket {
            Ok(socket) => Ok(Self(Way::Socket(socket))),
            Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
                Ok(Self(Way::Flags(BTreeMap::new())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Switches an interface to promiscuous mode.
    ///
    /// # Errors
    ///
    /// The mode stays as it was.
    pub async fn join(
        &mut self,
        netlink: &Handle,
        interface: &Interface,
    ) -> Result<(), PromiscuousError> {
        match &mut self.0 {
            Way::Socket(socket) => {
                promiscuous_membership(socket.as_fd(), interface.ifindex, Membership::Add)?;
            }
            Way::Flags(held) => {
                if let Some(hold) = FlagHold::take(netlink, interface).await? {
                    held.insert(interface.ifindex, hold);
                }
            }
        }
        Ok(())
    }

    /// Ends promiscuous mode on an interface, unless somebody else needs it.
    pub async fn leave(&mut self, netlink: &Handle, ifindex: u32) {
        match &mut self.0 {
            Way::Socket(socket) => {
                // The membership of an interface that is gone has ended by itself.
                let _ = promiscuous_membership(socket.as_fd(), ifindex, Membership::Drop);
            }
            Way::Flags(held) => {
                if let Some(hold) = held.remove(&ifindex) {
                    release(hold, netlink).await;
                }
            }
        }
    }

    /// Ends promiscuous mode on every interface.
    pub async fn leave_all(self, netlink: &Handle) {
        // Closing the socket ends its memberships.
        if let Way::Flags(held) = self.0 {
            for hold in held.into_values() {
                release(hold, netlink).await;
            }
        }
    }
}

async fn release(hold: FlagHold, netlink: &Handle) {
    if let Err(error) = hold.release(netlink).await {
        tracing::warn!("promiscuous mode could not be switched off: {error}");
    }
}
