//! The interfaces that a capture is attached to, as they appear, disappear and are renamed.

use std::collections::{BTreeMap, BTreeSet};

use rtnetlink::Handle;

use super::{
    error::SessionError,
    monitor::Monitor,
    positions::{hook_label, label},
    programs::{ProgramKind, Programs},
    roles::Role,
    warnings::Topic,
};
use crate::{
    attach::{Attachment, Method, Owner, Plan, Positions, Promiscuous, QueueDrops},
    interfaces::{Interface, InterfaceChange},
};
use capture_filter::CompiledFilter;
use capture_pipeline::{drain::Drain, interface_counters::InterfaceCounters};
use capture_types::{CaptureSpec, Direction, Directions, LinkType, TargetSet};

mod member;
mod pods;

use self::member::{Member, check_position, close, detach, retire, wait_for_removed_filters};
pub(super) use self::pods::{FollowedPods, Wanted};

/// The interfaces of a capture and what is attached to them.
pub(super) struct Followed {
    plan: Plan,
    owner: Owner,
    programs: Programs,
    wanted: Wanted,
    capture: String,
    directions: Directions,
    /// By ifindex.
    members: BTreeMap<u32, Member>,
    /// Indexes of selected interfaces that could not be joined. Each is tried once.
    refused: BTreeSet<u32>,
    positions: Positions,
    /// `None` if the capture does not use promiscuous mode.
    promiscuous: Option<Promiscuous>,
    /// The queues' drop counts when the capture began.
    dropped_before: QueueDrops,
}

/// The parts of the session that are told when an interface joins or leaves.
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
        wanted: Wanted,
        plan: Plan,
        owner: Owner,
        programs: Programs,
        promiscuous: Option<Promiscuous>,
        dropped_before: QueueDrops,
    ) -> Self {
        Self {
            plan,
            owner,
            programs,
            wanted,
            capture: spec.name.to_string(),
            directions: spec.direction,
            members: BTreeMap::new(),
            refused: BTreeSet::new(),
            positions: Positions::new(),
            promiscuous,
            dropped_before,
        }
    }

    /// Waits until programs were attached or detached at the capture's hooks. Cancel safe.
    pub(super) async fn positions_changed(&self) {
        self.positions.changed().await;
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
                member.name.clone_from(&interface.name);
            }
            if interface.up && !member.up {
                tracing::info!("interface {} is up", member.name);
            } else if member.up && !interface.up {
                tracing::warn!(
                    "interface {} went down: nothing passes until it is up",
                    member.name
                );
            }
            member.up = interface.up;
            if !self.change_role(&interface, parts).await? {
                return Ok(());
            }
        }
        let Some(role) = self.wanted.role(&interface) else {
            return Ok(());
        };
        if self.refused.contains(&interface.ifindex) {
            return Ok(());
        }
        if interface.link_type().is_none() {
            self.refused.insert(interface.ifindex);
            if role == Role::Node {
                return Ok(());
            }
            parts.monitor.warnings.set(
                Topic::NotRecordable,
                &label(&interface.name),
                "left out: it carries neither Ethernet nor IP packets".to_owned(),
            );
            return Ok(());
        }
        let (ifindex, name) = (interface.ifindex, interface.name.clone());
        let joined = self.join(interface, role, parts).await;
        if let Err(error) = &joined
            && !self.wanted.selection.names(ifindex)
        {
            if let Some(pods) = &mut self.wanted.pods {
                pods.failed(ifindex, &error.to_string());
            }
            // Failure of one interface among many does not end the capture.
            self.refused.insert(ifindex);
            let condition = format!("not recorded: {error}");
            parts
                .monitor
                .warnings
                .set(Topic::NotJoined, &label(&name), condition);
            return Ok(());
        }
        joined
    }

    async fn join(
        &mut self,
        interface: Interface,
        role: Role,
        parts: Parts<'_>,
    ) -> Result<(), SessionError> {
        let Some(link_type) = interface.link_type() else {
            return Ok(());
        };
        let (description, pod) = self.describe(&interface, link_type, role);
        let id = parts.drain.add_interface(description).await?;
        parts.counters.open(id, interface.ifindex)?;
        parts.monitor.add(id, &interface, link_type);
        let mut attachments = Vec::new();
        for direction in directions(self.directions, &interface) {
            let program = self.programs.program(ProgramKind {
                link_type,
                direction,
                pods: role.stage(direction, interface.is_loopback()),
            })?;
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
                    retire(parts, id, &interface.name);
                    if error.is_interface_gone() {
                        return Ok(());
                    }
                    self.refused.insert(interface.ifindex);
                    return Err(error.into());
                }
            }
            self.positions.watch(interface.ifindex, direction);
        }
        self.make_promiscuous(&interface, link_type, parts).await;
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
            is_loopback: interface.is_loopback(),
            role,
            pod,
            name: interface.name,
            up: interface.up,
            attachments,
        };
        check_position(&member, interface.ifindex, parts).await;
        self.members.insert(interface.ifindex, member);
        Ok(())
    }

    /// Switches an interface to promiscuous mode, as tcpdump does: not for `any`, and not where there are
    /// no packets for other hosts.
    async fn make_promiscuous(
        &mut self,
        interface: &Interface,
        link_type: LinkType,
        parts: Parts<'_>,
    ) {
        let Some(promiscuous) = &mut self.promiscuous else {
            return;
        };
        if !self.wanted.selection.is_specific(interface)
            || interface.is_loopback()
            || link_type != LinkType::Ethernet
        {
            return;
        }
        if let Err(error) = promiscuous.join(parts.netlink, interface).await {
            let condition = format!(
                "not in promiscuous mode, so packets for other hosts are not seen: {error}"
            );
            let name = label(&interface.name);
            parts
                .monitor
                .warnings
                .set(Topic::NotPromiscuous, &name, condition);
        }
    }

    /// Follows a change. An interface that cannot be joined after the start does not end the capture: it
    /// is logged and left out.
    pub(super) async fn follow(&mut self, change: InterfaceChange, parts: Parts<'_>) {
        if !matches!(change, InterfaceChange::Filters { .. })
            && let Some(pods) = &mut self.wanted.pods
        {
            pods.link_changed();
        }
        match change {
            InterfaceChange::Present(interface) => self.try_present(interface, parts).await,
            InterfaceChange::Gone { ifindex } => self.gone(ifindex, parts).await,
            InterfaceChange::Filters { ifindex } => {
                if let Some(member) = self.members.get(&ifindex) {
                    check_position(member, ifindex, parts).await;
                }
            }
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
        let name = label(&interface.name);
        if let Err(error) = self.present(interface, parts).await {
            let condition = format!("not recorded: {error}");
            parts
                .monitor
                .warnings
                .set(Topic::NotJoined, &name, condition);
        }
    }

    async fn gone(&mut self, ifindex: u32, parts: Parts<'_>) {
        self.wanted.selection.forget(ifindex);
        self.refused.remove(&ifindex);
        self.positions.forget(ifindex);
        if let Some(promiscuous) = &mut self.promiscuous {
            promiscuous.leave(parts.netlink, ifindex).await;
        }
        if let Some(member) = self.members.remove(&ifindex) {
            for (direction, _) in &member.attachments {
                let hook = hook_label(&member.name, *direction);
                parts.monitor.warnings.clear(Topic::Position, &hook);
            }
            tracing::info!("interface {} is gone; its packets so far stay", member.name);
            detach(member.attachments, parts.netlink).await;
            retire(parts, member.id, &member.name);
        }
        self.pod_gone(ifindex, parts);
    }

    /// Marks that every interface present at the start has joined.
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
    /// so a packet that matches both is recorded once.
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
    fn needed(&self) -> Vec<ProgramKind> {
        let mut needed = Vec::new();
        for member in self.members.values() {
            for (direction, _) in &member.attachments {
                let kind = member.program(*direction);
                if !needed.contains(&kind) {
                    needed.push(kind);
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
            member.replace_programs(programs, netlink).await?;
        }
        Ok(())
    }

    /// Checks the positions of the programs, on every interface.
    pub(super) async fn check_positions(&self, parts: Parts<'_>) {
        for (ifindex, member) in &self.members {
            check_position(member, *ifindex, parts).await;
        }
    }

    /// Records the packets that the interfaces' queues have dropped since the capture began.
    pub(super) async fn check_queues(&self, parts: Parts<'_>) {
        if self.directions == Directions::In {
            return;
        }
        let dropped = match QueueDrops::query(parts.netlink).await {
            Ok(dropped) => dropped,
            Err(error) => {
                tracing::debug!("the queueing disciplines could not be asked: {error}");
                return;
            }
        };
        for (ifindex, member) in &self.members {
            let since = dropped.since(&self.dropped_before, *ifindex);
            if let Some(count) = since.filter(|count| *count > 0) {
                let condition = format!(
                    "the queueing discipline dropped {count} packets, of all that were sent; the \
                     capture sees packets before the queue, so they look sent"
                );
                let name = label(&member.name);
                parts
                    .monitor
                    .warnings
                    .set(Topic::QueueDrops, &name, condition);
            }
        }
    }

    /// Detaches every program and reads the last counters.
    pub(super) async fn detach_all(&mut self, netlink: &Handle, counters: &InterfaceCounters) {
        if let Some(promiscuous) = self.promiscuous.take() {
            promiscuous.leave_all(netlink).await;
        }
        let mut attachments = self.members.values().flat_map(|member| &member.attachments);
        let by_clsact = attachments.any(|(_, one)| one.method() == Method::Clsact);
        let mut detached = Vec::new();
        for member in std::mem::take(&mut self.members).into_values() {
            detach(member.attachments, netlink).await;
            detached.push((member.id, member.name));
        }
        if by_clsact {
            wait_for_removed_filters().await;
        }
        for (id, name) in detached {
            close(counters, id, &name);
        }
    }
}

/// The number of hooks for a capture of these interfaces.
pub(super) fn hook_count(
    wanted: &mut Wanted,
    asked: Directions,
    interfaces: &[Interface],
) -> usize {
    interfaces
        .iter()
        .filter(|interface| {
            let role = wanted.role(interface);
            role.is_some() && interface.link_type().is_some()
        })
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
