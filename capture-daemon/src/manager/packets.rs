//! Reading the packets of a running capture.

use std::{net::IpAddr, sync::Arc};

use super::{Capture, Manager, ManagerError, ReaderShare};
use capture_pipeline::{
    drain::DrainState,
    packet::{InterfaceDescription, InterfaceId},
    tap::{Batch, Reader},
};

/// A reader of a capture's packets, counted against the limit of readers.
pub struct PacketReader {
    reader: Reader,
    drain: Arc<DrainState>,
    _place: ReaderShare,
}

impl PacketReader {
    /// The next packets; `None` when the capture has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Batch> {
        self.reader.next().await
    }

    /// Packets so far for which there was no room.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.reader.missed()
    }

    /// The description of an interface.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<InterfaceDescription> {
        self.drain.taps.interface(id)
    }
}

impl PacketReader {
    /// The names of addresses added after this change, and the number of the last change.
    #[must_use]
    pub fn names_since(&self, change: u64) -> (Vec<(IpAddr, String)>, u64) {
        self.drain.taps.names_since(change)
    }
}

impl Manager {
    /// A new reader of a running capture's packets from now on: up to `most_bytes` may wait for it,
    /// with up to `snaplen` bytes of each packet.
    pub fn read_packets(
        &self,
        capture: &Arc<Capture>,
        most_bytes: u32,
        snaplen: u32,
    ) -> Result<PacketReader, ManagerError> {
        let place = self.inner.budget.take_reader()?;
        let ended = || ManagerError::Ended {
            name: capture.name().to_string(),
            state: capture.state(),
        };
        let drain = capture.live().ok_or_else(ended)?.shared;
        let reader = drain.taps.reader(most_bytes as usize, snaplen as usize);
        Ok(PacketReader {
            reader,
            drain,
            _place: place,
        })
    }
}
