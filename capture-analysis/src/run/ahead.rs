//! Reads and decompresses a file on a separate thread, ahead of the analysis.

use std::{
    io::Read,
    ops::Range,
    sync::mpsc::{Receiver, SyncSender},
};

use capture_file::{AddressNames, CaptureReader, Interface, Item, ReadError, Statistics};

/// Batches that may wait for the analysis.
pub(super) const QUEUED: usize = 3;
/// Approximate bytes of a batch: few enough to stay in the caches of both cores.
const BYTES: usize = 256 << 10;
const PACKETS: usize = 2048;

/// A packet of a batch.
pub(super) struct Head {
    pub(super) timestamp: u64,
    pub(super) number: u64,
    pub(super) interface: u32,
    pub(super) original_length: u32,
    data: Range<usize>,
}

/// Packets, and the position after them in the file.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    heads: Vec<Head>,
    pub(super) then: Then,
}

#[derive(Default)]
pub(super) enum Then {
    /// More packets.
    #[default]
    More,
    Interface(Interface),
    Statistics(Statistics),
    Names(Vec<AddressNames>),
    End(End),
}

/// The end of reading.
pub(super) struct End {
    /// The error, if it was not the end of the file.
    pub(super) error: Option<ReadError>,
    /// Bytes read, uncompressed.
    pub(super) bytes: u64,
    pub(super) malformed_options: u64,
}

impl Batch {
    /// The packets and their bytes.
    pub(super) fn packets(&self) -> impl Iterator<Item = (&Head, &[u8])> {
        self.heads
            .iter()
            .map(|head| (head, &self.bytes[head.data.clone()]))
    }

    /// Returns its memory for reuse.
    fn cleared(mut self) -> Self {
        self.bytes.clear();
        self.heads.clear();
        self.then = Then::More;
        self
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES || self.heads.len() >= PACKETS
    }
}

/// Reads to the end, or until the receiver is gone. Used batches come back through `used`.
pub(super) fn read<R: Read>(
    mut reader: CaptureReader<R>,
    batches: &SyncSender<Batch>,
    used: &Receiver<Batch>,
) {
    let mut batch = Batch::default();
    loop {
        let then = match reader.next_item() {
            Ok(Some(Item::Packet(packet))) => {
                let start = batch.bytes.len();
                batch.bytes.extend_from_slice(packet.data);
                batch.heads.push(Head {
                    timestamp: packet.timestamp,
                    number: packet.number,
                    interface: packet.interface,
                    original_length: packet.original_length,
                    data: start..batch.bytes.len(),
                });
                if !batch.is_full() {
                    continue;
                }
                Then::More
            }
            Ok(Some(Item::Interface(interface))) => Then::Interface(interface),
            Ok(Some(Item::Statistics(statistics))) => Then::Statistics(statistics),
            Ok(Some(Item::Names(names))) => Then::Names(names),
            Ok(Some(Item::Section(_))) => continue,
            Ok(None) => end(&reader, None),
            Err(error) => end(&reader, Some(error)),
        };
        let ends = matches!(then, Then::End(_));
        batch.then = then;
        if batches.send(batch).is_err() || ends {
            return;
        }
        batch = used.try_recv().map(Batch::cleared).unwrap_or_default();
    }
}

const fn end<R: Read>(reader: &CaptureReader<R>, error: Option<ReadError>) -> Then {
    Then::End(End {
        error,
        bytes: reader.offset(),
        malformed_options: reader.malformed_options(),
    })
}
