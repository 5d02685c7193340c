//! The interfaces that a capture is attached to, as they appear, go away and are renamed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtnetlink::Handle;

use super::{error::SessionError, monitor::Monitor, programs::Programs};
use crate::{
    attach::{AttachError, Attachment, Method, Owner, Plan, Position},
    interfaces::{Interface, InterfaceChange, Selection},
    kernel::syscall::wait_for_grace_period,
    pipeline::{drain::Drain, interface_counters::InterfaceCounters, packet::InterfaceId},
};
use capture_filter::CompiledFilter;
use capture_types::{CaptureSpec, Direction, Directions, LinkType, TargetSet};

/// Far longer than an RCU grace period, for systems without membarrier(2).
const GRACE_PERIOD: Duration = Duration::from_millis(200);

/// The interfaces of a capture and what is attached to them.
pub(super) struct Followed {
    plan: Plan,
    owner: Owner,
    programs: Programs,
    selection: Selection,
    capture: String,
    directions: Directions,
    /// By ifindex.
    members: BTreeMap<u32, Member>,
    /// Indexes of selected interfaces that could not be joined. Each is tried once.
    refused: BTreeSet<u32>,
}

/// An interface that has joined the capture.
struct Member {
    id: InterfaceId,
    link_type: LinkType,
    name: String,
    attachments: Vec<(Direction, Attachment)>,
    /// Where the programs stood when this was last reported; empty while all of them are first.
    positions: Vec<(Direction, Position)>,
}

/// The parts of the session that need to know of an interface that joins or leaves.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) netlink: &'a Handle,
    pub(super) drain: &'a Drain,
    pub(super) counters: &'a InterfaceCounters,
    pub(super) monitor: &'a Monitor,
}

impl Followed {
    pub(super) fn new(
        spec: &CaptureSpec,
        selection: Selection,
        plan: Plan,
        owner: Owner,
        programs: Programs,
    ) -> Self {
        Self {
            plan,
            owner,
            programs,
            selection,
            capture: spec.name.to_string(),
            directions: spec.direction,
            members: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Joins an interface that is present, if the capture selects it and has not joined it yet.
    pub(super) async fn present(
        &mut self,
        interface: Interface,
        parts: Parts<'_>,
    ) -> Result<(), SessionError> {
        if let Some(member) = self.members.get_mut(&interface.ifindex) {
            if member.name != interface.name {
                tracing::info!(
                    "interface {} was renamed to {}; the capture keeps the name {}",
                    member.name,
                    interface.name,
                    parts.monitor.name(member.id),
                );
                member.name = interface.name;
            }
            return Ok(());
        }
        if !self.selection.takes(&interface) || self.refused.contains(&interface.ifindex) {
            return Ok(());
        }
        self.join(interface, parts).await
    }

    async fn join(&mut self, interface: Interface, parts: Parts<'_>) -> Result<(), SessionError> {
        let Some(link_type) = interface.link_type() else {
            return Ok(());
        };
        let id = parts
            .drain
            .add_interface(interface.describe(link_type))
            .await?;
        parts.counters.open(id, interface.ifindex)?;
        parts.monitor.add(id, &interface, link_type);
        let mut attachments = Vec::new();
        for direction in directions(self.directions, &interface) {
            let program = self.programs.program(direction, link_type)?;
            let attached = Attachment::new(
                self.plan.method(&interface.name, direction),
                parts.netlink,
                &self.owner,
                &self.capture,
                interface.ifindex,
                direction,
                program,
            )
            .await;
            match attached {
                Ok(attachment) => attachments.push((direction, attachment)),
                Err(error) => {
                    detach(attachments, parts.netlink).await;
                    close(parts.counters, id, &interface.name);
                    if error.is_interface_gone() {
                        return Ok(());
                    }
                    self.refused.insert(interface.ifindex);
                    return Err(error.into());
                }
            }
        }
        tracing::info!("interface {} joined the capture", interface.name);
        if !interface.up {
            tracing::warn!(
                "interface {} is down: nothing passes until it is up",
                interface.name
            );
        }
        let member = Member {
            id,
            link_type,
            name: interface.name,
            attachments,
            positions: Vec::new(),
        };
        self.members.insert(interface.ifindex, member);
        Ok(())
    }

    /// Follows a change. An interface that cannot be joined after the start does not end the capture: it
    /// is logged and left out.
    pub(super) async fn follow(&mut self, change: InterfaceChange, parts: Parts<'_>) {
        match change {
            InterfaceChange::Present(interface) => self.try_present(interface, parts).await,
            InterfaceChange::Gone { ifindex } => self.gone(ifindex, parts).await,
            InterfaceChange::Resync(interfaces) => {
                let present: BTreeSet<u32> = interfaces.iter().map(|i| i.ifindex).collect();
                let members: Vec<u32> = self.members.keys().copied().collect();
                for ifindex in members {
                    if !present.contains(&ifindex) {
                        self.gone(ifindex, parts).await;
                    }
                }
                for interface in interfaces {
                    self.try_present(interface, parts).await;
                }
            }
        }
    }

    async fn try_present(&mut self, interface: Interface, parts: Parts<'_>) {
        let name = interface.name.clone();
        if let Err(error) = self.present(interface, parts).await {
            tracing::error!("interface {name} is not captured: {error}");
        }
    }

    async fn gone(&mut self, ifindex: u32, parts: Parts<'_>) {
        self.selection.forget(ifindex);
        self.refused.remove(&ifindex);
        if let Some(member) = self.members.remove(&ifindex) {
            tracing::info!("interface {} is gone; its packets so far stay", member.name);
            detach(member.attachments, parts.netlink).await;
            close(parts.counters, member.id, &member.name);
        }
    }

    /// Every interface that was present at the start has joined.
    pub(super) fn has_started(&mut self) {
        self.plan.has_started();
        let all = self.members.values().flat_map(|one| &one.attachments);
        let clsact = all.filter(|(_, one)| one.method() == Method::Clsact);
        tracing::debug!(
            "{} interfaces, {} of their hooks by clsact",
            self.members.len(),
            clsact.count()
        );
    }

    /// Replaces the filter on every interface. Each packet passes either the old filter or the new one,
    /// so a packet that both match is recorded once.
    pub(super) async fn set_filter(
        &mut self,
        filter: CompiledFilter,
        netlink: &Handle,
    ) -> Result<(), SessionError> {
        let needed = self.needed();
        self.programs.set_filter(filter, &needed)?;
        self.replace_programs(netlink).await
    }

    /// Replaces the targets. Packets of targets in both sets are never missed.
    pub(super) async fn set_targets(
        &mut self,
        targets: &TargetSet,
        netlink: &Handle,
    ) -> Result<(), SessionError> {
        let needed = self.needed();
        if self.programs.set_targets(targets, &needed)? {
            self.replace_programs(netlink).await?;
        }
        Ok(())
    }

    /// The kinds of programs that are attached now, each once.
    fn needed(&self) -> Vec<(LinkType, Direction)> {
        let mut needed = Vec::new();
        for member in self.members.values() {
            for (direction, _) in &member.attachments {
                if !needed.contains(&(member.link_type, *direction)) {
                    needed.push((member.link_type, *direction));
                }
            }
        }
        needed
    }

    async fn replace_programs(&mut self, netlink: &Handle) -> Result<(), SessionError> {
        let Self {
            programs, members, ..
        } = self;
        for member in members.values_mut() {
            for (direction, attachment) in &mut member.attachments {
                let program = programs.program(*direction, member.link_type)?;
                match attachment.replace(netlink, program).await {
                    Err(error) if !error.is_interface_gone() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Warns of programs that have been placed before ours since the last check, and of programs of ours
    /// that somebody has detached.
    pub(super) fn check_positions(&mut self) {
        for member in self.members.values_mut() {
            let positions: Vec<(Direction, Position)> = member
                .attachments
                .iter()
                .map(|(direction, attachment)| {
                    (
                        *direction,
                        Position::query(attachment.method(), &member.name, *direction),
                    )
                })
                .filter(|(_, position)| *position != Position::First)
                .collect();
            if positions == member.positions {
                continue;
            }
            for (direction, position) in &positions {
                let hook = match direction {
                    Direction::In => "ingress",
                    Direction::Out => "egress",
                };
                let name = &member.name;
                match position {
                    Position::First => {}
                    Position::Behind(programs) => tracing::warn!(
                        "interface {name} {hook}: {} run before the recorder; packets that they \
                         drop or redirect are not seen",
                        programs.join(", "),
                    ),
                    Position::Missing => tracing::error!(
                        "interface {name} {hook}: somebody has detached the recorder; nothing is \
                         captured there until the capture is started again"
                    ),
                }
            }
            member.positions = positions;
        }
    }

    /// Detaches every program and reads the last counters.
    pub(super) async fn detach_all(&mut self, netlink: &Handle, counters: &InterfaceCounters) {
        let mut attachments = self.members.values().flat_map(|member| &member.attachments);
        let by_clsact = attachments.any(|(_, one)| one.method() == Method::Clsact);
        let mut detached = Vec::new();
        for member in std::mem::take(&mut self.members).into_values() {
            detach(member.attachments, netlink).await;
            detached.push((member.id, member.name));
        }
        if by_clsact {
            // A removed filter can still be at work on a packet until an RCU grace period is over
            // (membarrier(2), kernel 4.3).
            let waited = tokio::task::spawn_blocking(wait_for_grace_period).await;
            if !matches!(waited, Ok(Ok(()))) {
                tokio::time::sleep(GRACE_PERIOD).await;
            }
        }
        for (id, name) in detached {
            close(counters, id, &name);
        }
    }
}

/// How many hooks a capture of these interfaces attaches to.
pub(super) fn hook_count(
    selection: &mut Selection,
    asked: Directions,
    interfaces: &[Interface],
) -> usize {
    interfaces
        .iter()
        .filter(|interface| selection.takes(interface))
        .map(|interface| directions(asked, interface).len())
        .sum()
}

/// The directions to attach to. Each packet sent on loopback is received there as well, so one direction
/// sees all of them, as in tcpdump.
fn directions(asked: Directions, interface: &Interface) -> Vec<Direction> {
    match asked {
        Directions::In => vec![Direction::In],
        Directions::Out => vec![Direction::Out],
        Directions::InOut if interface.is_loopback() => vec![Direction::In],
        Directions::InOut => vec![Direction::In, Direction::Out],
    }
}

async fn detach(attachments: Vec<(Direction, Attachment)>, netlink: &Handle) {
    for (_, attachment) in attachments {
        match attachment.detach(netlink).await {
            Ok(()) => {}
            Err(error) if AttachError::is_interface_gone(&error) => {}
            Err(error) => tracing::error!("a filter could not be removed: {error}"),
        }
    }
}

fn close(counters: &InterfaceCounters, id: InterfaceId, name: &str) {
    if let Err(error) = counters.close(id) {
        tracing::error!("the last counters of interface {name} could not be read: {error}");
    }
}
