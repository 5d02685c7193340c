//! Follows the pods of a capture to their interfaces.

use std::{io, sync::Arc};

use tokio::time::Instant;

use super::{
    Followed, Parts,
    member::{detach, retire, wait_for_removed_filters},
};
use crate::{
    attach::Method,
    interfaces::{self, AddressLookup, Interface, Selection},
    session::{
        error::SessionError,
        pods::Pods,
        positions::{hook_label, label},
        roles::Role,
        warnings::Topic,
    },
};
use capture_pipeline::packet::InterfaceDescription;
use capture_types::{Directions, LinkType, PodAddresses, PodId, PodSelection};

/// The pods of a capture, and the socket for queries to the kernel.
pub(in crate::session) struct FollowedPods {
    pods: Pods,
    lookup: AddressLookup,
}

impl FollowedPods {
    /// No pods have been searched for yet.
    pub(in crate::session) fn new(
        selection: PodSelection,
        directions: Directions,
        node: Arc<str>,
    ) -> io::Result<Self> {
        Ok(Self {
            pods: Pods::new(selection, directions, node),
            lookup: AddressLookup::new()?,
        })
    }

    /// Searches for pods without an interface among these existing interfaces.
    pub(in crate::session) async fn look(&mut self, interfaces: &[Interface]) {
        let began = Instant::now();
        let wanted = self.pods.wanted();
        let located = self.lookup.find(&wanted, interfaces).await;
        let located = located.map_err(|error| {
            format!(
                "the kernel does not say where addresses of other network namespaces are, which takes \
                 CAP_NET_ADMIN: {error}"
            )
        });
        self.pods.found(located, interfaces, began, Instant::now());
    }

    pub(super) fn failed(&mut self, ifindex: u32, error: &str) {
        self.pods.failed(ifindex, error);
    }

    pub(super) fn link_changed(&mut self) {
        self.pods.link_changed(Instant::now());
    }
}

/// The interfaces and pods that a capture attaches to.
pub(in crate::session) struct Wanted {
    /// Interfaces by name and pattern.
    pub(in crate::session) selection: Selection,
    /// `None` for a capture without pods.
    pub(in crate::session) pods: Option<FollowedPods>,
}

impl Wanted {
    /// The role of this existing interface in the capture; `None` if the capture does not attach to
    /// it.
    pub(super) fn role(&mut self, interface: &Interface) -> Option<Role> {
        let asked = self.selection.matches(interface);
        let Some(FollowedPods { pods, .. }) = &self.pods else {
            return asked.then_some(Role::Asked);
        };
        if pods.at(interface.ifindex).is_some() {
            Some(Role::Pod)
        } else if asked {
            Some(Role::AskedForPods)
        } else if pods.any_by_address() && !interface.is_part_of_another() {
            Some(Role::Node)
        } else {
            None
        }
    }
}

impl Followed {
    /// The description in capture files, and the pod that it names.
    pub(super) fn describe(
        &self,
        interface: &Interface,
        link_type: LinkType,
        role: Role,
    ) -> (InterfaceDescription, Option<PodId>) {
        let mut description = interface.describe(link_type);
        let pods = self.wanted.pods.as_ref().filter(|_| role == Role::Pod);
        let pod = pods.and_then(|followed| {
            followed.pods.describe(&mut description);
            let pod = followed.pods.at(interface.ifindex)?;
            Some(pod.id.clone())
        });
        (description, pod)
    }

    /// Waits until the next search for pods is due. Cancel safe.
    pub(in crate::session) async fn pods_due(&self) {
        match &self.wanted.pods {
            Some(followed) => followed.pods.looks.due().await,
            None => std::future::pending().await,
        }
    }

    /// Searches for pods without an interface, and joins the interfaces found.
    pub(in crate::session) async fn look_for_pods(&mut self, parts: Parts<'_>) {
        if let Err(error) = self.follow_pods(parts).await {
            tracing::warn!("pods could not be followed: {error}");
        }
    }

    /// Replaces the pods: attaches and detaches the difference.
    pub(in crate::session) async fn set_pods(
        &mut self,
        selection: PodSelection,
        parts: Parts<'_>,
    ) -> Result<(), SessionError> {
        if let Some(followed) = &mut self.wanted.pods {
            followed.pods.set(selection, Instant::now());
        }
        self.follow_pods(parts).await
    }

    async fn follow_pods(&mut self, parts: Parts<'_>) -> Result<(), SessionError> {
        let interfaces = interfaces::list(parts.netlink).await?;
        let Some(followed) = &mut self.wanted.pods else {
            return Ok(());
        };
        followed.look(&interfaces).await;
        self.begin_with_pods(parts)?;
        for interface in interfaces {
            self.try_present(interface, parts).await;
        }
        self.show_pods(parts)
    }

    /// To be called before interfaces join or leave: packets of a pod are ignored elsewhere only while
    /// they are captured at its interface.
    pub(in crate::session) fn begin_with_pods(
        &mut self,
        parts: Parts<'_>,
    ) -> Result<(), SessionError> {
        let Some(followed) = &self.wanted.pods else {
            return Ok(());
        };
        let addresses = followed.pods.addresses();
        let stays = |ifindex: u32| self.members.contains_key(&ifindex);
        self.programs.set_pods(&PodAddresses {
            at_interfaces: followed.pods.addresses_at(stays),
            ..addresses
        })?;
        parts.drain.set_names(followed.pods.names())?;
        Ok(())
    }

    /// To be called after interfaces have joined or left.
    pub(in crate::session) fn show_pods(&mut self, parts: Parts<'_>) -> Result<(), SessionError> {
        if let Some(followed) = &self.wanted.pods {
            parts.monitor.set_pods(followed.pods.states());
            self.programs.set_pods(&followed.pods.addresses())?;
        }
        Ok(())
    }

    /// Handles the removal of an interface, which may be a pod's.
    pub(super) fn pod_gone(&mut self, ifindex: u32, parts: Parts<'_>) {
        let Some(followed) = &mut self.wanted.pods else {
            return;
        };
        if followed.pods.at(ifindex).is_none() {
            return;
        }
        followed.pods.gone(ifindex, Instant::now());
        if let Err(error) = self.show_pods(parts) {
            tracing::warn!("the addresses of pods could not be changed: {error}");
        }
    }

    /// Handles a member whose role in the capture has changed. Returns `true` if it has left for that
    /// reason; it may join again.
    pub(super) async fn change_role(
        &mut self,
        interface: &Interface,
        parts: Parts<'_>,
    ) -> Result<bool, SessionError> {
        if self.wanted.pods.is_none() {
            return Ok(false);
        }
        let new = self.wanted.role(interface);
        let pod = self
            .wanted
            .pods
            .as_ref()
            .and_then(|followed| Some(&followed.pods.at(interface.ifindex)?.id));
        let Some(member) = self.members.get_mut(&interface.ifindex) else {
            return Ok(false);
        };
        match new {
            Some(role) if member.pod.as_ref() == pod => {
                if member.role != role {
                    member.role = role;
                    member
                        .replace_programs(&mut self.programs, parts.netlink)
                        .await?;
                }
                Ok(false)
            }
            // Its description in files names another pod, or none.
            _ => {
                self.leave(interface.ifindex, parts).await;
                Ok(true)
            }
        }
    }

    /// Removes an existing interface from the capture; its packets so far stay.
    async fn leave(&mut self, ifindex: u32, parts: Parts<'_>) {
        let Some(member) = self.members.remove(&ifindex) else {
            return;
        };
        self.positions.forget(ifindex);
        if let Some(promiscuous) = &mut self.promiscuous {
            promiscuous.leave(parts.netlink, ifindex).await;
        }
        let warnings = &parts.monitor.warnings;
        for (direction, _) in &member.attachments {
            warnings.clear(Topic::Position, &hook_label(&member.name, *direction));
        }
        warnings.clear(Topic::NotPromiscuous, &label(&member.name));
        let mut attachments = member.attachments.iter();
        let by_clsact = attachments.any(|(_, one)| one.method() == Method::Clsact);
        detach(member.attachments, parts.netlink).await;
        if by_clsact {
            wait_for_removed_filters().await;
        }
        retire(parts, member.id, &member.name);
        tracing::info!(
            "interface {} has left the capture; its packets so far stay",
            member.name
        );
    }
}
