//! Attaches programs to one direction of an interface, before all other programs there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_attach_type;
use rtnetlink::Handle;

use capture_kernel::{
    features::Features,
    syscall::{link_update, tcx_link_create},
};
use capture_types::Direction;

mod clsact;
mod owner;
mod position;
mod promiscuous;
mod promiscuous_flag;
mod queue;

pub use owner::Owner;
pub use position::{Position, Positions};
pub use promiscuous::{Promiscuous, PromiscuousError};
pub use queue::QueueDrops;

/// How programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// TCX links (kernel 6.6), which the kernel removes when the process ends.
    Tcx,
    /// Filters of the clsact queueing discipline. They stay when the process is killed, so each start
    /// removes leftovers.
    Clsact,
}

/// Attaching failed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// TCX was requested and the kernel does not have it.
    #[error(
        "kernel {kernel} has no TCX (Linux 6.6 has): use --attach clsact, or leave --attach out"
    )]
    NoTcx {
        /// The kernel's release.
        kernel: String,
    },
    /// bpf(2) failed.
    #[error("TCX {hook} of interface index {ifindex}: {source}")]
    Tcx {
        /// The interface.
        ifindex: u32,
        /// `ingress` or `egress`.
        hook: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// rtnetlink(7) failed.
    #[error("clsact {hook} of interface index {ifindex}: {source}")]
    Clsact {
        /// The interface.
        ifindex: u32,
        /// `ingress` or `egress`.
        hook: &'static str,
        /// Why it failed.
        source: rtnetlink::Error,
    },
}

impl AttachError {
    /// Whether the interface went away, which is not a fault.
    #[must_use]
    pub fn is_interface_gone(&self) -> bool {
        match self {
            Self::NoTcx { .. } => false,
            Self::Tcx { source, .. } => source.raw_os_error() == Some(libc::ENODEV),
            Self::Clsact {
                source: rtnetlink::Error::NetlinkError(message),
                ..
            } => [-libc::ENODEV, -libc::ENXIO].contains(&message.raw_code()),
            Self::Clsact { .. } => false,
        }
    }
}

impl Method {
    /// The requested method, or the best one that the kernel has.
    ///
    /// # Errors
    ///
    /// TCX was requested and the kernel does not have it.
    pub fn choose(asked: Option<Self>, features: &Features) -> Result<Self, AttachError> {
        match asked {
            Some(Self::Tcx) if !features.tcx => Err(AttachError::NoTcx {
                kernel: features.kernel.clone(),
            }),
            Some(method) => Ok(method),
            None if features.tcx => Ok(Self::Tcx),
            None => Ok(Self::Clsact),
        }
    }
}

/// How a capture attaches to many hooks at once.
///
/// Attaching and detaching by TCX waits for an RCU grace period while holding the kernel's lock of the
/// network configuration (`tcx_entry_sync` in include/net/tcx.h, `rtnl_lock` in kernel/bpf/tcx.c). On an
/// idle machine with 2 CPUs that is 13 ms per hook: 200 interfaces take more than 5 seconds, during which
/// every other change of an interface waits. Clsact does not wait and takes 0.3 seconds, but its filters
/// run after every TCX program, so it is used for hooks without TCX programs of others.
/// (`/sys/kernel/rcu_expedited` makes TCX as fast, but applies to the whole machine, interrupts every CPU
/// for each grace period, and would stay set when this process is killed.)
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    method: Method,
    many: bool,
}

/// A capture that starts with more hooks than this avoids TCX, which would take half a second.
const FEW_HOOKS: usize = 32;

impl Plan {
    /// A plan for this many hooks. A requested method is always used.
    ///
    /// # Errors
    ///
    /// TCX was requested and the kernel does not have it.
    pub fn new(
        asked: Option<Method>,
        features: &Features,
        hooks: usize,
    ) -> Result<Self, AttachError> {
        Ok(Self {
            method: Method::choose(asked, features)?,
            many: asked.is_none() && hooks > FEW_HOOKS,
        })
    }

    /// Marks the capture as started: from now on hooks are added one by one.
    pub fn has_started(&mut self) {
        self.many = false;
    }

    /// The method for this hook.
    #[must_use]
    pub fn method(&self, interface: &str, direction: Direction) -> Method {
        let alone = || position::tcx(Method::Clsact, interface, direction) == Position::First;
        if self.many && self.method == Method::Tcx && alone() {
            Method::Clsact
        } else {
            self.method
        }
    }
}

/// Removes what killed recorders have left on any interface: filters, and promiscuous mode. Returns the
/// number of each.
///
/// # Errors
///
/// rtnetlink(7) failed.
pub async fn remove_leftovers(netlink: &Handle) -> Result<(usize, usize), rtnetlink::Error> {
    let filters = clsact::remove_leftovers(netlink).await?;
    let promiscuous = match promiscuous_flag::remove_leftovers(netlink).await {
        Ok(cleared) => cleared,
        Err(error) => {
            tracing::warn!(
                "could not look for promiscuous mode that a killed recorder left: {error}"
            );
            0
        }
    };
    Ok((filters, promiscuous))
}

/// A program attached to one direction of an interface.
#[derive(Debug)]
pub struct Attachment(Kind);

#[derive(Debug)]
enum Kind {
    Tcx(OwnedFd),
    Clsact(clsact::Filter),
}

impl Attachment {
    /// Attaches `program` before all others. A clsact filter is named after `owner` and `capture`.
    ///
    /// # Errors
    ///
    /// The kernel rejected the attachment, or the interface is gone.
    pub async fn new(
        method: Method,
        netlink: &Handle,
        owner: &Owner,
        capture: &str,
        ifindex: u32,
        direction: Direction,
        program: BorrowedFd<'_>,
    ) -> Result<Self, AttachError> {
        if method == Method::Tcx {
            match tcx_link_create(program, ifindex, hook(direction)) {
                Ok(link) => return Ok(Self(Kind::Tcx(link))),
                // A TCX hook holds 63 programs at most (bpf_mprog_max in include/linux/bpf_mprog.h).
                // Clsact runs after them and has no such limit.
                Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {}
                Err(source) => {
                    return Err(AttachError::Tcx {
                        ifindex,
                        hook: hook_name(direction),
                        source,
                    });
                }
            }
        }
        let name = owner.filter_name(capture);
        clsact::Filter::add(netlink, name, ifindex, direction, program)
            .await
            .map(|filter| Self(Kind::Clsact(filter)))
    }

    /// The key of a clsact filter among others; `None` for TCX.
    pub(super) const fn filter_key(&self) -> Option<(u16, u32)> {
        match &self.0 {
            Kind::Tcx(_) => None,
            Kind::Clsact(filter) => Some(filter.key()),
        }
    }

    /// How the program is attached; clsact if the TCX hook was full.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.0 {
            Kind::Tcx(_) => Method::Tcx,
            Kind::Clsact(_) => Method::Clsact,
        }
    }

    /// Replaces the program. Every packet passes either the old program or the new one.
    ///
    /// # Errors
    ///
    /// The old program stays attached.
    pub async fn replace(
        &mut self,
        netlink: &Handle,
        program: BorrowedFd<'_>,
    ) -> Result<(), AttachError> {
        match &mut self.0 {
            Kind::Tcx(link) => {
                link_update(link.as_fd(), program).map_err(|source| AttachError::Tcx {
                    ifindex: 0,
                    hook: "link",
                    source,
                })
            }
            Kind::Clsact(filter) => filter.replace(netlink, program).await,
        }
    }

    /// Detaches the program. With TCX no packet is in the program when this returns; with clsact the
    /// kernel frees the filter a little later.
    ///
    /// # Errors
    ///
    /// The filter could not be removed.
    pub async fn detach(self, netlink: &Handle) -> Result<(), AttachError> {
        match self.0 {
            Kind::Tcx(link) => {
                // Closing waits for an RCU grace period.
                let closed = tokio::task::spawn_blocking(move || drop(link)).await;
                debug_assert!(closed.is_ok(), "closing a link cannot fail");
                Ok(())
            }
            Kind::Clsact(filter) => filter.remove(netlink).await,
        }
    }
}

const fn hook(direction: Direction) -> bpf_attach_type {
    match direction {
        Direction::In => bpf_attach_type::BPF_TCX_INGRESS,
        Direction::Out => bpf_attach_type::BPF_TCX_EGRESS,
    }
}

const fn hook_name(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "ingress",
        Direction::Out => "egress",
    }
}
