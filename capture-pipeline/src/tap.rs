//! Copies of packets for live readers. The drain thread copies for readers that have room, and
//! counts for those that have none; it never waits for one.

use std::net::IpAddr;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::names::Names;
use super::packet::{InterfaceDescription, InterfaceId, Packet};
use capture_types::Direction;

/// Batches that may wait for a reader; their bytes are bounded separately.
const BATCHES: usize = 256;

/// A batch is passed on at this many bytes, or when the drain thread has taken all records.
const BATCH_BYTES: usize = 64 << 10;

/// Registration of readers, with the interface descriptions they need.
#[derive(Debug, Default)]
pub struct Taps {
    /// Changes with each registration, so that the drain thread checks a single number.
    version: AtomicUsize,
    new: Mutex<Vec<Feed>>,
    interfaces: Mutex<Vec<InterfaceDescription>>,
    names: Mutex<Names>,
}

/// Packets on their way to a reader.
#[derive(Debug)]
pub struct Batch {
    /// In the order in which they were taken from the ring buffer.
    pub packets: Vec<TappedPacket>,
    bytes: usize,
}

/// A packet that was copied.
#[derive(Debug, Clone)]
pub struct TappedPacket {
    /// UTC, nanoseconds since 1970-01-01.
    pub timestamp: u64,
    /// The interface it was seen on.
    pub interface: InterfaceId,
    /// Its direction.
    pub direction: Direction,
    /// Its length on the wire in bytes.
    pub original_length: u32,
    /// The captured bytes.
    pub bytes: Bytes,
}

#[derive(Debug, Default)]
struct Account {
    /// Bytes that the reader has not taken yet.
    waiting: AtomicUsize,
    missed: AtomicU64,
}

/// The reader's end.
#[derive(Debug)]
pub struct Reader {
    batches: Receiver<Batch>,
    account: Arc<Account>,
}

impl Reader {
    /// The next packets; `None` when the capture has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Batch> {
        let batch = self.batches.recv().await?;
        self.account.waiting.fetch_sub(batch.bytes, Relaxed);
        Some(batch)
    }

    /// Packets so far for which there was no room.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.account.missed.load(Relaxed)
    }
}

impl Taps {
    /// A new reader, for which up to `most_bytes` may wait, with up to `snaplen` bytes of each
    /// packet.
    #[must_use]
    pub fn reader(&self, most_bytes: usize, snaplen: usize) -> Reader {
        let (sender, batches) = channel(BATCHES);
        let account = Arc::new(Account::default());
        let feed = Feed {
            sender,
            account: Arc::clone(&account),
            most_bytes,
            snaplen,
            buffer: BytesMut::new(),
            heads: Vec::new(),
        };
        lock(&self.new).push(feed);
        self.version.fetch_add(1, Relaxed);
        Reader { batches, account }
    }

    /// The description of an interface.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<InterfaceDescription> {
        lock(&self.interfaces).get(id.0 as usize).cloned()
    }

    /// The names of addresses added after this change, and the number of the last change.
    #[must_use]
    pub fn names_since(&self, change: u64) -> (Vec<(IpAddr, String)>, u64) {
        let names = lock(&self.names);
        let new = names.since(change).into_iter();
        let new = new.map(|(_, address, name)| (address, name.to_owned()));
        (new.collect(), names.changes())
    }

    /// Replaces the names of addresses.
    pub(super) fn set_names(&self, names: Vec<(IpAddr, String)>) {
        lock(&self.names).set(names);
    }

    /// Adds the next interface; they are added in the order of their numbers.
    pub(super) fn add_interface(&self, description: InterfaceDescription) {
        lock(&self.interfaces).push(description);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are added and removed whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reader as the drain thread sees it.
#[derive(Debug)]
struct Feed {
    sender: Sender<Batch>,
    account: Arc<Account>,
    most_bytes: usize,
    snaplen: usize,
    buffer: BytesMut,
    heads: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    timestamp: u64,
    interface: InterfaceId,
    direction: Direction,
    original_length: u32,
    length: usize,
}

impl Feed {
    fn push(&mut self, packet: &Packet<'_>) {
        let bytes = &packet.bytes[..packet.bytes.len().min(self.snaplen)];
        let waiting = self.account.waiting.load(Relaxed) + self.buffer.len();
        if waiting + bytes.len() > self.most_bytes {
            self.account.missed.fetch_add(1, Relaxed);
            return;
        }
        self.buffer.extend_from_slice(bytes);
        self.heads.push(Head {
            timestamp: packet.timestamp,
            interface: packet.interface,
            direction: packet.direction,
            original_length: packet.original_length,
            length: bytes.len(),
        });
        if self.buffer.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Passes on the gathered packets; `false` when the reader is gone.
    fn flush(&mut self) -> bool {
        if self.heads.is_empty() {
            return !self.sender.is_closed();
        }
        let mut data = self.buffer.split().freeze();
        let bytes = data.len();
        let packets: Vec<TappedPacket> = self
            .heads
            .drain(..)
            .map(|head| TappedPacket {
                timestamp: head.timestamp,
                interface: head.interface,
                direction: head.direction,
                original_length: head.original_length,
                bytes: data.split_to(head.length),
            })
            .collect();
        let count = packets.len() as u64;
        self.account.waiting.fetch_add(bytes, Relaxed);
        match self.sender.try_send(Batch { packets, bytes }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.account.waiting.fetch_sub(bytes, Relaxed);
                self.account.missed.fetch_add(count, Relaxed);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// The readers of one drain thread.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    version: usize,
    feeds: Vec<Feed>,
}

impl Feeds {
    /// Adds new readers; to be called once in each round.
    pub(super) fn update(&mut self, taps: &Taps) {
        let version = taps.version.load(Relaxed);
        if version != self.version {
            self.version = version;
            self.feeds.append(&mut lock(&taps.new));
        }
    }

    /// Copies a packet for each reader.
    #[inline(always)]
    pub(super) fn push(&mut self, packet: &Packet<'_>) {
        if !self.feeds.is_empty() {
            self.push_to_all(*packet);
        }
    }

    /// By value: the caller's packet need not be in memory when there are no readers.
    #[cold]
    #[inline(never)]
    fn push_to_all(&mut self, packet: Packet<'_>) {
        for feed in &mut self.feeds {
            feed.push(&packet);
        }
    }

    /// Passes on the gathered packets, and removes readers that are gone.
    pub(super) fn flush(&mut self) {
        if !self.feeds.is_empty() {
            self.feeds.retain_mut(Feed::flush);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Feeds, Taps};
    use crate::packet::{InterfaceId, Packet};
    use capture_types::Direction;

    fn packet(bytes: &[u8]) -> Packet<'_> {
        Packet {
            timestamp: 1,
            interface: InterfaceId(0),
            direction: Direction::In,
            packet_type: 0,
            original_length: 2000,
            bytes,
        }
    }

    #[tokio::test]
    async fn what_a_slow_reader_misses_is_counted_and_a_quick_one_misses_nothing() {
        let taps = Taps::default();
        let mut feeds = Feeds::default();
        let mut slow = taps.reader(1000, 100);
        let mut quick = taps.reader(1 << 20, usize::MAX);
        let mut read = 0;
        for _ in 0..50 {
            feeds.update(&taps);
            feeds.push(&packet(&[7; 300]));
            feeds.flush();
            if let Some(batch) = quick.next().await {
                read += batch.packets.len();
                assert_eq!(batch.packets[0].bytes.len(), 300);
            }
        }
        assert_eq!((read, quick.missed()), (50, 0));
        drop(feeds);
        let mut got = 0;
        while let Some(batch) = slow.next().await {
            assert!(batch.packets.iter().all(|packet| packet.bytes.len() == 100));
            got += batch.packets.len() as u64;
        }
        assert_eq!(got, 10, "as many as there was room for");
        assert_eq!(got + slow.missed(), 50);
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_forgotten() {
        let taps = Taps::default();
        let mut feeds = Feeds::default();
        drop(taps.reader(1000, 100));
        feeds.update(&taps);
        feeds.push(&packet(&[1]));
        feeds.flush();
        assert!(feeds.feeds.is_empty());
    }
}
