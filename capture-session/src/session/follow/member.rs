//! An interface that has joined a capture: what is attached to it, and how it is detached.

use std::time::Duration;

use rtnetlink::Handle;

use super::Parts;
use crate::{
    attach::{AttachError, Attachment},
    session::{
        error::SessionError,
        positions,
        programs::{ProgramKind, Programs},
        roles::Role,
    },
};
use capture_kernel::syscall::wait_for_grace_period;
use capture_pipeline::{interface_counters::InterfaceCounters, packet::InterfaceId};
use capture_types::{Direction, LinkType, PodId};

/// Far longer than an RCU grace period, for systems without membarrier(2).
const GRACE_PERIOD: Duration = Duration::from_millis(200);

/// An interface that has joined the capture.
pub(super) struct Member {
    pub(super) id: InterfaceId,
    pub(super) link_type: LinkType,
    pub(super) name: String,
    pub(super) is_loopback: bool,
    pub(super) role: Role,
    /// The pod that its description names.
    pub(super) pod: Option<PodId>,
    pub(super) up: bool,
    pub(super) attachments: Vec<(Direction, Attachment)>,
}

impl Member {
    /// The program of one of its hooks.
    pub(super) const fn program(&self, direction: Direction) -> ProgramKind {
        ProgramKind {
            link_type: self.link_type,
            direction,
            pods: self.role.stage(direction, self.is_loopback),
        }
    }

    /// Replaces the attached programs by the current ones.
    pub(super) async fn replace_programs(
        &mut self,
        programs: &mut Programs,
        netlink: &Handle,
    ) -> Result<(), SessionError> {
        let kinds: Vec<ProgramKind> = self
            .attachments
            .iter()
            .map(|(direction, _)| self.program(*direction))
            .collect();
        for ((_, attachment), kind) in self.attachments.iter_mut().zip(kinds) {
            let program = programs.program(kind)?;
            match attachment.replace(netlink, program).await {
                Err(error) if !error.is_interface_gone() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A removed clsact filter can still be at work on a packet until an RCU grace period is over
/// (membarrier(2), kernel 4.3).
pub(super) async fn wait_for_removed_filters() {
    let waited = tokio::task::spawn_blocking(wait_for_grace_period).await;
    if !matches!(waited, Ok(Ok(()))) {
        tokio::time::sleep(GRACE_PERIOD).await;
    }
}

/// Warns of programs that run before ours.
pub(super) async fn check_position(member: &Member, ifindex: u32, parts: Parts<'_>) {
    let warnings = &parts.monitor.warnings;
    let attachments = &member.attachments;
    positions::check(&member.name, ifindex, attachments, parts.netlink, warnings).await;
}

/// Detaches all programs; an interface that is gone has lost them already.
pub(super) async fn detach(attachments: Vec<(Direction, Attachment)>, netlink: &Handle) {
    for (_, attachment) in attachments {
        match attachment.detach(netlink).await {
            Ok(()) => {}
            Err(error) if AttachError::is_interface_gone(&error) => {}
            Err(error) => tracing::error!("a filter could not be removed: {error}"),
        }
    }
}

/// Reads the last counters of an interface.
pub(super) fn close(counters: &InterfaceCounters, id: InterfaceId, name: &str) {
    if let Err(error) = counters.close(id) {
        tracing::error!("the last counters of interface {name} could not be read: {error}");
    }
}

/// Reads the last counters of an interface that leaves before the capture ends. Further files do not describe
/// it.
pub(super) fn retire(parts: Parts<'_>, id: InterfaceId, name: &str) {
    close(parts.counters, id, name);
    if let Err(error) = parts.drain.retire_interface(id) {
        tracing::error!("interface {name} could not be taken out of the files: {error}");
    }
}
