//! Watches interfaces as they appear, disappear and are renamed.

use std::{collections::VecDeque, io};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle, MulticastGroup, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop},
    },
};

use super::{Interface, Peer};

type Messages = futures_channel::mpsc::UnboundedReceiver<(
    NetlinkMessage<RouteNetlinkMessage>,
    rtnetlink::sys::SocketAddr,
)>;

/// A change of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceChange {
    /// The interface is new, or one of its properties changed.
    Present(Interface),
    /// The interface is gone.
    Gone {
        /// Its index.
        ifindex: u32,
    },
    /// The traffic control filters of an interface changed.
    Filters {
        /// Its index.
        ifindex: u32,
    },
    /// Messages were lost; these are all interfaces that exist now.
    Resync(Vec<Interface>),
}

/// A subscription to the changes in the network namespace in which it was created.
#[derive(Debug)]
pub struct Watch {
    netlink: Handle,
    messages: Messages,
    ready: VecDeque<InterfaceChange>,
}

impl Watch {
    /// Subscribes. Must be called within a tokio runtime, on which it starts a task.
    ///
    /// # Errors
    ///
    /// The netlink socket could not be opened.
    pub fn new() -> io::Result<Self> {
        let (connection, netlink, messages) =
            new_multicast_connection(&[MulticastGroup::Link, MulticastGroup::Tc])?;
        tokio::spawn(connection);
        Ok(Self {
            netlink,
            messages,
            ready: VecDeque::new(),
        })
    }

    /// The handle for requests over the same connection.
    #[must_use]
    pub const fn netlink(&self) -> &Handle {
        &self.netlink
    }

    /// The interfaces that exist now. Later changes are returned by [`Watch::next`].
    ///
    /// # Errors
    ///
    /// rtnetlink(7) failed.
    pub async fn list(&self) -> Result<Vec<Interface>, rtnetlink::Error> {
        list(&self.netlink).await
    }

    /// The next change; `None` when the kernel has closed the connection. Cancel safe.
    pub async fn next(&mut self) -> Option<InterfaceChange> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            let (message, _from) = self.messages.next().await?;
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    self.ready
                        .extend(interface(&link).map(InterfaceChange::Present));
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                    if !is_bridge_port_message(&link) =>
                {
                    self.ready.push_back(InterfaceChange::Gone {
                        ifindex: link.header.index,
                    });
                }
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewTrafficFilter(filter)
                    | RouteNetlinkMessage::DelTrafficFilter(filter),
                ) => self.ready.push_back(InterfaceChange::Filters {
                    ifindex: filter.header.index.cast_unsigned(),
                }),
                NetlinkPayload::Overrun(_) => {
                    if let Ok(interfaces) = self.list().await {
                        self.ready.push_back(InterfaceChange::Resync(interfaces));
                    }
                }
                _ => {}
            }
        }
    }
}

/// The interfaces that exist now.
pub(crate) async fn list(netlink: &Handle) -> Result<Vec<Interface>, rtnetlink::Error> {
    netlink
        .link()
        .get()
        .execute()
        .try_filter_map(|message| async move { Ok(interface(&message)) })
        .try_collect()
        .await
}

/// Bridges send separate messages about their ports: such a `DelLink` means that the interface has left
/// the bridge, not that it is gone.
fn is_bridge_port_message(link: &LinkMessage) -> bool {
    u8::from(link.header.interface_family) == u8::try_from(libc::AF_BRIDGE).unwrap_or(u8::MAX)
}

/// The interface of a message; `None` for messages that bridges send about their ports.
pub(crate) fn interface(message: &LinkMessage) -> Option<Interface> {
    if is_bridge_port_message(message) {
        return None;
    }
    let mut interface = Interface {
        ifindex: message.header.index,
        name: String::new(),
        alternative_names: Vec::new(),
        hardware_type: message.header.link_layer_type.into(),
        kind: None,
        alias: None,
        address: Vec::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        peer: None,
        master: None,
    };
    let (mut namespace, mut other_end) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::PropList(properties) => {
                let names = properties.iter().filter_map(|property| match property {
                    Prop::AltIfName(name) => Some(name.clone()),
                    _ => None,
                });
                interface.alternative_names.extend(names);
            }
            LinkAttribute::Controller(master) => interface.master = Some(*master),
            LinkAttribute::Link(ifindex) => other_end = Some(*ifindex),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            LinkAttribute::IfAlias(alias) => interface.alias = Some(alias.clone()),
            LinkAttribute::Address(address) => interface.address.clone_from(address),
            LinkAttribute::LinkInfo(info) => {
                interface.kind = info.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    // A negative number means that there is no namespace id.
    interface.peer = namespace
        .filter(|namespace| *namespace >= 0)
        .zip(other_end)
        .map(|(namespace, ifindex)| Peer { namespace, ifindex });
    (!interface.name.is_empty()).then_some(interface)
}
