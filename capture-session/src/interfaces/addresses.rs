//! Locates addresses: on interfaces of other network namespaces, with the interface of this namespace at
//! the other end. No namespace is entered; with CAP_NET_ADMIN the kernel lists the addresses of other
//! namespaces that this one has an id for (`IFA_TARGET_NETNSID`, Linux 4.20).

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle, new_connection_with_strict_check,
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkInfo, LinkMessage},
        nsid::{NsidAttribute, NsidMessage},
    },
};

use super::{Interface, Peer};

/// Where an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// In another namespace, at the other end of the interface with this index.
    Behind(u32),
    /// In another namespace, on an interface without another end here: its kind (`macvlan`, ...), if the
    /// kernel reports it.
    Apart(Option<String>),
    /// On an interface of this namespace.
    Here,
}

/// Queries the kernel for the location of addresses.
#[derive(Debug)]
pub struct AddressLookup(Handle);

impl AddressLookup {
    /// Must be called within a tokio runtime, on which it starts a task.
    ///
    /// # Errors
    ///
    /// The netlink socket could not be opened.
    pub fn new() -> io::Result<Self> {
        // Without the strict check the kernel ignores the requested namespace.
        let (connection, handle, _) = new_connection_with_strict_check()?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The locations of the addresses that can be found. `interfaces` are those of this namespace. If
    /// several interfaces have an address, one with another end here is preferred, then this namespace.
    ///
    /// # Errors
    ///
    /// rtnetlink(7) failed, for example without CAP_NET_ADMIN.
    pub async fn find(
        &self,
        wanted: &BTreeSet<IpAddr>,
        interfaces: &[Interface],
    ) -> Result<HashMap<IpAddr, Located>, rtnetlink::Error> {
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        let ends: HashMap<Peer, u32> = interfaces
            .iter()
            .filter_map(|interface| Some((interface.peer?, interface.ifindex)))
            .collect();
        let mut namespaces: BTreeSet<i32> = ends.keys().map(|peer| peer.namespace).collect();
        namespaces.extend(self.namespaces().await?);
        for namespace in namespaces {
            for (ifindex, address) in self.addresses(Some(namespace), wanted).await? {
                let located = match ends.get(&Peer { namespace, ifindex }) {
                    Some(end) => Located::Behind(*end),
                    None if matches!(found.get(&address), Some(Located::Behind(_))) => continue,
                    None => Located::Apart(self.kind(namespace, ifindex).await),
                };
                found.insert(address, located);
            }
        }
        for (_, address) in self.addresses(None, wanted).await? {
            if !matches!(found.get(&address), Some(Located::Behind(_))) {
                found.insert(address, Located::Here);
            }
        }
        Ok(found)
    }

    /// The namespaces that this one has an id for.
    async fn namespaces(&self) -> Result<Vec<i32>, rtnetlink::Error> {
        let message = RouteNetlinkMessage::GetNsId(NsidMessage::default());
        let mut numbers = Vec::new();
        for message in self.dump(message).await? {
            if let RouteNetlinkMessage::NewNsId(namespace) = message {
                numbers.extend(namespace.attributes.iter().filter_map(
                    |attribute| match attribute {
                        NsidAttribute::Id(number) if *number >= 0 => Some(*number),
                        _ => None,
                    },
                ));
            }
        }
        Ok(numbers)
    }

    /// The wanted addresses that a namespace has, each with the index of its interface there.
    async fn addresses(
        &self,
        namespace: Option<i32>,
        wanted: &BTreeSet<IpAddr>,
    ) -> Result<Vec<(u32, IpAddr)>, rtnetlink::Error> {
        let mut request = AddressMessage::default();
        let target = namespace.map(AddressAttribute::TargetNetNsId);
        request.attributes.extend(target);
        let answers = match self.dump(RouteNetlinkMessage::GetAddress(request)).await {
            Ok(answers) => answers,
            // The namespace is gone.
            Err(rtnetlink::Error::NetlinkError(error))
                if namespace.is_some() && error.raw_code() == -libc::EINVAL =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut there = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewAddress(message) = answer else {
                continue;
            };
            for attribute in &message.attributes {
                // `Local` differs from `Address` on point-to-point links, where `Local` is the
                // interface's own address.
                if let AddressAttribute::Address(address) | AddressAttribute::Local(address) =
                    attribute
                    && wanted.contains(address)
                {
                    there.push((message.header.index, *address));
                }
            }
        }
        there.dedup();
        Ok(there)
    }

    /// The kind of an interface in another namespace; `None` if the kernel does not report it.
    async fn kind(&self, namespace: i32, ifindex: u32) -> Option<String> {
        /// `IFLA_TARGET_NETNSID` (Linux 5.0).
        const TARGET: u16 = 46;
        let mut request = LinkMessage::default();
        request.header.index = ifindex;
        let target =
            rtnetlink::packet_core::DefaultNla::new(TARGET, namespace.to_ne_bytes().to_vec());
        request.attributes.push(LinkAttribute::Other(target));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(request));
        message.header.flags = NLM_F_REQUEST;
        let mut answers = self.0.clone().request(message).ok()?;
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) =
            answers.next().await?.payload
        else {
            return None;
        };
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::LinkInfo(info) => info.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                }),
                _ => None,
            })
    }

    async fn dump(
        &self,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, rtnetlink::Error> {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let answers = self.0.clone().request(message)?;
        answers
            .filter_map(|answer| async move {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => Some(Ok(message)),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        Some(Err(rtnetlink::Error::NetlinkError(error)))
                    }
                    _ => None,
                }
            })
            .try_collect()
            .await
    }
}
