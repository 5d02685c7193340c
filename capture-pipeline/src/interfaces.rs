//! The interfaces of a capture, found by the index in a record.

use capture_common::{LINK_RAW, RecordHeader, UNKNOWN_INTERFACE};

use super::{
    interface_counters::InterfaceCounters,
    packet::{InterfaceDescription, InterfaceId},
    recorder::Recorder,
    tap::Taps,
};
use capture_types::LinkType;

/// From the kernel's ifindex to the capture's interfaces, sorted by ifindex.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    by_ifindex: Vec<(u32, InterfaceId)>,
    /// The interface looked up last: packets come in trains.
    pub(super) latest: Option<(u32, InterfaceId)>,
    /// Placeholders for unknown interfaces, by link type.
    unknown: Vec<(LinkType, InterfaceId)>,
}

impl Interfaces {
    pub(super) fn set(&mut self, ifindex: u32, id: InterfaceId) {
        self.latest = None;
        match self
            .by_ifindex
            .binary_search_by_key(&ifindex, |entry| entry.0)
        {
            Ok(at) => self.by_ifindex[at].1 = id,
            Err(at) => self.by_ifindex.insert(at, (ifindex, id)),
        }
    }

    pub(super) fn find(
        &mut self,
        header: &RecordHeader,
        recorder: &mut Recorder,
        counters: &InterfaceCounters,
        taps: &Taps,
    ) -> InterfaceId {
        match self.known(header.ifindex) {
            Some(id) => id,
            None => self.unknown(header, recorder, counters, taps),
        }
    }

    /// An interface that was looked up before or announced.
    #[inline(always)]
    pub(super) fn known(&mut self, ifindex: u32) -> Option<InterfaceId> {
        match self.latest {
            Some((latest, id)) if latest == ifindex => Some(id),
            _ => self.look_up(ifindex),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, ifindex: u32) -> Option<InterfaceId> {
        let found = self
            .by_ifindex
            .binary_search_by_key(&ifindex, |entry| entry.0);
        let id = self.by_ifindex[found.ok()?].1;
        self.latest = Some((ifindex, id));
        Some(id)
    }

    /// Placeholder for the packet of an interface that the session has not announced, for example one
    /// that was moved to another network namespace under a new index with the program still attached:
    /// it is recorded all the same.
    #[cold]
    fn unknown(
        &mut self,
        header: &RecordHeader,
        recorder: &mut Recorder,
        counters: &InterfaceCounters,
        taps: &Taps,
    ) -> InterfaceId {
        let link_type = if header.link == LINK_RAW {
            LinkType::Raw
        } else {
            LinkType::Ethernet
        };
        let known = self.unknown.iter().find(|unknown| unknown.0 == link_type);
        if let Some((_, id)) = known {
            self.latest = Some((header.ifindex, *id));
            return *id;
        }
        let description = InterfaceDescription {
            name: "unknown".to_owned(),
            ifindex: UNKNOWN_INTERFACE,
            description: "interfaces that were not announced when their packets came".to_owned(),
            comment: String::new(),
            link_type,
            mac: None,
        };
        taps.add_interface(description.clone());
        let id = recorder.add_interface(description);
        counters.open_unknown(id);
        self.unknown.push((link_type, id));
        self.latest = Some((header.ifindex, id));
        id
    }
}
