//! Packets that the queueing discipline of an interface drops. Egress programs run before it, so packets
//! that it drops appear as sent in a capture.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage, TcStats2},
    },
};

use super::clsact::responses;

/// The drops of the root queueing disciplines at one moment, by ifindex.
#[derive(Debug, Default)]
pub struct QueueDrops(BTreeMap<u32, u32>);

impl QueueDrops {
    /// Queries the drops of every interface.
    ///
    /// # Errors
    ///
    /// rtnetlink(7) failed.
    pub async fn query(netlink: &Handle) -> Result<Self, Error> {
        let dump = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let mut disciplines = Box::pin(responses(netlink, dump)?);
        let mut drops = BTreeMap::new();
        while let Some(message) = disciplines.next().await {
            if let RouteNetlinkMessage::NewQueueDiscipline(discipline) = message?
                && discipline.header.parent == TcHandle::ROOT
                && let Some(count) = discipline.attributes.iter().find_map(dropped)
            {
                drops.insert(discipline.header.index.cast_unsigned(), count);
            }
        }
        Ok(Self(drops))
    }

    /// Packets that an interface has dropped since an earlier moment; `None` if one of the two is
    /// unknown.
    #[must_use]
    pub fn since(&self, earlier: &Self, ifindex: u32) -> Option<u32> {
        let (now, before) = (self.0.get(&ifindex)?, earlier.0.get(&ifindex)?);
        Some(now.wrapping_sub(*before))
    }
}

fn dropped(attribute: &TcAttribute) -> Option<u32> {
    let TcAttribute::Stats2(statistics) = attribute else {
        return None;
    };
    statistics.iter().find_map(|one| match one {
        TcStats2::Queue(queue) => Some(queue.drops),
        _ => None,
    })
}
