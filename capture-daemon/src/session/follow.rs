//! The interfaces that a capture is on: they join, go away and change their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtnetlink::Handle;

use super::{Book, Session, SessionError, hooks::Hooks};
use crate::{
    attach::{AttachError, Attachment, Method, Owner, Plan, Position},
    interfaces::{Change, Interface, Selection},
    kernel::syscall::wait_for_grace_period,
    pipeline::packet::InterfaceId,
};
use capture_types::{CaptureSpec, Direction, Directions, FilterSpec, LinkType, TargetSet};

/// Far longer than an RCU grace period takes, for systems without membarrier(2).
const GRACE_PERIOD: Duration = Duration::from_millis(200);

/// What is attached where.
pub(super) struct Followed {
    plan: Plan,
    owner: Owner,
    pub(super) hooks: Hooks,
    capture: String,
    direction: Directions,
    /// By ifindex.
    members: BTreeMap<u32, Member>,
    /// Interfaces that were asked for and could not be joined: tried once.
    refused: BTreeSet<u32>,
}

struct Member {
    id: InterfaceId,
    link_type: LinkType,
    name: String,
    attachments: Vec<(Direction, Attachment)>,
    /// Where our programs stood when that was told last; first, to begin with.
    positions: Vec<(Direction, Position)>,
}

impl Session {
    /// Takes note of an interface that is there, and joins it if it is asked for.
    pub(super) async fn present(&mut self, interface: Interface) -> Result<(), SessionError> {
        if let Some(member) = self.followed.members.get_mut(&interface.ifindex) {
            if member.name != interface.name {
                tracing::info!(
                    "interface {} is now called {}; it stays in the capture as {}",
                    member.name,
                    interface.name,
                    self.monitor.name(member.id),
                );
                member.name = interface.name;
            }
            return Ok(());
        }
        if !self.selection.takes(&interface) || self.followed.refused.contains(&interface.ifindex) {
            return Ok(());
        }
        self.join(interface).await
    }

    async fn join(&mut self, interface: Interface) -> Result<(), SessionError> {
        let Some(link_type) = interface.link_type() else {
            return Ok(());
        };
        let id = self
            .drain
            .add_interface(interface.describe(link_type))
            .await?;
        self.book.open(id, interface.ifindex)?;
        self.monitor.add(id, &interface, link_type);
        let followed = &mut self.followed;
        let mut attachments = Vec::new();
        for direction in ways(followed.direction, &interface) {
            let program = followed.hooks.program(direction, link_type)?;
            let attached = Attachment::new(
                followed.plan.method(&interface.name, direction),
                self.watch.netlink(),
                &followed.owner,
                &followed.capture,
                interface.ifindex,
                direction,
                program,
            )
            .await;
            match attached {
                Ok(attachment) => attachments.push((direction, attachment)),
                Err(error) => {
                    detach(attachments, self.watch.netlink()).await;
                    close(&self.book, id, &interface.name);
                    if error.is_interface_gone() {
                        return Ok(());
                    }
                    followed.refused.insert(interface.ifindex);
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
        followed.members.insert(interface.ifindex, member);
        Ok(())
    }

    /// Follows a change. An interface that cannot be joined later on ends no capture: it is told of
    /// and left out.
    pub(super) async fn follow(&mut self, change: Change) {
        match change {
            Change::Present(interface) => {
                let name = interface.name.clone();
                if let Err(error) = self.present(interface).await {
                    tracing::error!("interface {name} is not captured: {error}");
                }
            }
            Change::Gone { ifindex } => self.gone(ifindex).await,
            Change::Resync(interfaces) => {
                let present: BTreeSet<u32> = interfaces.iter().map(|i| i.ifindex).collect();
                let members: Vec<u32> = self.followed.members.keys().copied().collect();
                for ifindex in members {
                    if !present.contains(&ifindex) {
                        self.gone(ifindex).await;
                    }
                }
                for interface in interfaces {
                    Box::pin(self.follow(Change::Present(interface))).await;
                }
            }
        }
    }

    async fn gone(&mut self, ifindex: u32) {
        self.selection.forget(ifindex);
        self.followed.refused.remove(&ifindex);
        if let Some(member) = self.followed.members.remove(&ifindex) {
            tracing::info!("interface {} is gone; its packets so far stay", member.name);
            detach(member.attachments, self.watch.netlink()).await;
            close(&self.book, member.id, &member.name);
        }
    }
}

impl Followed {
    pub(super) fn new(plan: Plan, owner: Owner, hooks: Hooks, spec: &CaptureSpec) -> Self {
        Self {
            plan,
            owner,
            hooks,
            capture: spec.name.to_string(),
            direction: spec.direction,
            members: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Every interface that was there has been joined.
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

    /// Exchanges the filter on every interface. Each packet meets the old filter or the new one, so
    /// one that both match is captured once.
    pub(super) async fn set_filter(
        &mut self,
        filter: FilterSpec,
        netlink: &Handle,
    ) -> Result<(), SessionError> {
        let needed = self.needed();
        self.hooks.set_filter(filter, &needed)?;
        self.exchange(netlink).await
    }

    /// Replaces the targets: those that stay are never missed.
    pub(super) async fn set_targets(
        &mut self,
        targets: &TargetSet,
        netlink: &Handle,
    ) -> Result<(), SessionError> {
        let needed = self.needed();
        if self.hooks.set_targets(targets, &needed)? {
            self.exchange(netlink).await?;
        }
        Ok(())
    }

    /// What is attached now, each kind once.
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

    async fn exchange(&mut self, netlink: &Handle) -> Result<(), SessionError> {
        let Self { hooks, members, .. } = self;
        for member in members.values_mut() {
            for (direction, attachment) in &mut member.attachments {
                let program = hooks.program(*direction, member.link_type)?;
                match attachment.replace(netlink, program).await {
                    Err(error) if !error.is_interface_gone() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Warns of programs that have come before ours since the last look, and of ours that are gone.
    pub(super) fn check_position(&mut self) {
        for member in self.members.values_mut() {
            let positions: Vec<(Direction, Position)> = member
                .attachments
                .iter()
                .map(|(direction, attachment)| {
                    (
                        *direction,
                        Position::ask(attachment.method(), &member.name, *direction),
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

    /// Takes every program away and reads the last counters.
    pub(super) async fn detach_all(&mut self, netlink: &Handle, book: &Book) {
        let mut attachments = self.members.values().flat_map(|member| &member.attachments);
        let by_clsact = attachments.any(|(_, one)| one.method() == Method::Clsact);
        let mut detached = Vec::new();
        for member in std::mem::take(&mut self.members).into_values() {
            detach(member.attachments, netlink).await;
            detached.push((member.id, member.name));
        }
        if by_clsact {
            // A filter that is gone can still be at work on a packet until an RCU grace period is
            // over, which is what this waits for (membarrier(2), kernel 4.3).
            let waited = tokio::task::spawn_blocking(wait_for_grace_period).await;
            if !matches!(waited, Ok(Ok(()))) {
                tokio::time::sleep(GRACE_PERIOD).await;
            }
        }
        for (id, name) in detached {
            close(book, id, &name);
        }
    }
}

/// On how many hooks a capture attaches that takes these interfaces.
pub(super) fn hooks(
    selection: &mut Selection,
    direction: Directions,
    interfaces: &[Interface],
) -> usize {
    interfaces
        .iter()
        .filter(|interface| selection.takes(interface))
        .map(|interface| ways(direction, interface).len())
        .sum()
}

/// The ways to attach on: each packet that is sent on loopback is received on it as well, so one way
/// is all of them, as in tcpdump.
fn ways(direction: Directions, interface: &Interface) -> Vec<Direction> {
    match direction {
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

fn close(book: &Book, id: InterfaceId, name: &str) {
    if let Err(error) = book.close(id) {
        tracing::error!("the last counters of interface {name} could not be read: {error}");
    }
}
