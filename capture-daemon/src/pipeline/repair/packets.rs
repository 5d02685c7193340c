//! Walks the bytes of a capture file, in pieces of any size, from packet to packet.

/// How far the packets of a file are whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    /// Bytes as they are on disk.
    pub(super) stored: u64,
    /// Bytes before compression.
    pub(super) raw: u64,
    pub(super) packets: u64,
    /// UTC nanoseconds.
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) link_types: Vec<u16>,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pcapng,
    Pcap,
    /// A line for each packet, which begins with its time.
    Text,
}

impl Kind {
    /// What a name says, without what compression adds to it.
    pub(super) fn of(name: &str) -> Self {
        if name.ends_with(".pcapng") {
            Self::Pcapng
        } else if name.ends_with(".txt") {
            Self::Text
        } else {
            Self::Pcap
        }
    }
}

/// Takes the bytes of a file and knows where whole records end. All that our own recorder writes is
/// little-endian where the host is, and timestamps are nanoseconds.
#[derive(Debug)]
pub(super) struct Walker {
    kind: Kind,
    /// Bytes of the record that is not whole yet.
    pending: Vec<u8>,
    header_seen: bool,
    broken: bool,
    pub(super) whole: Whole,
}

const PCAP_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const BLOCK_HEADER: usize = 12;

/// `SHB`, `IDB` and `EPB` of draft-ietf-opsawg-pcapng.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// No record that we write is longer: a packet of 262,144 bytes with its options.
const LONGEST: usize = 1 << 20;

impl Walker {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            pending: Vec::new(),
            header_seen: false,
            broken: false,
            whole: Whole::default(),
        }
    }

    /// Takes the next bytes; `false` when they make no sense any more.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while !self.broken {
            match self.record(rest) {
                Some(length) if length <= rest.len() => {
                    self.note(&rest[..length]);
                    self.whole.raw += length as u64;
                    rest = &rest[length..];
                }
                _ => break,
            }
        }
        self.pending = rest.to_vec();
        !self.broken
    }

    /// Everything taken so far ends with a whole record.
    pub(super) fn at_boundary(&self) -> bool {
        self.pending.is_empty() && !self.broken
    }

    /// The length of the record that these bytes begin with; `None` when too few are there to tell.
    fn record(&mut self, bytes: &[u8]) -> Option<usize> {
        let length = match (self.kind, self.header_seen) {
            (Kind::Text, _) => {
                let end = bytes.iter().take(LONGEST).position(|byte| *byte == b'\n');
                self.broken = end.is_none() && bytes.len() >= LONGEST;
                let end = end?;
                self.broken = time(&bytes[..end]).is_none();
                end + 1
            }
            (Kind::Pcapng, _) => {
                let head = bytes.get(..BLOCK_HEADER)?;
                let (kind, length) = (number(head, 0), number(head, 4) as usize);
                let sound = length >= BLOCK_HEADER
                    && length.is_multiple_of(4)
                    && (kind == SECTION || self.header_seen);
                self.broken = !sound || length > LONGEST;
                if let Some(trailer) = bytes.get(length.saturating_sub(4)..length) {
                    self.broken |= number(trailer, 0) as usize != length;
                }
                length
            }
            (Kind::Pcap, false) => PCAP_HEADER,
            (Kind::Pcap, true) => {
                let head = bytes.get(..RECORD_HEADER)?;
                let (captured, original) = (number(head, 8) as usize, number(head, 12) as usize);
                // Zeros are what a write leaves that a crash has cut short.
                let nothing = head.iter().all(|byte| *byte == 0);
                self.broken = nothing || captured > original || captured > LONGEST;
                RECORD_HEADER + captured
            }
        };
        (!self.broken).then_some(length)
    }

    /// Notes a whole record.
    fn note(&mut self, record: &[u8]) {
        if self.kind == Kind::Text {
            if let Some(time) = time(record) {
                self.packet(time);
            }
        } else if self.kind == Kind::Pcap {
            if self.header_seen {
                let seconds = u64::from(number(record, 0));
                self.packet(seconds * 1_000_000_000 + u64::from(number(record, 4)));
            } else {
                self.link_type(number(record, 20));
            }
        } else if number(record, 0) == INTERFACE {
            self.link_type(number(record, 8) & 0xffff);
        } else if number(record, 0) == PACKET && record.len() >= 32 {
            let (high, low) = (u64::from(number(record, 12)), u64::from(number(record, 16)));
            self.packet(high << 32 | low);
        }
        self.header_seen = true;
    }

    fn packet(&mut self, timestamp: u64) {
        let whole = &mut self.whole;
        whole.packets += 1;
        whole.first = Some(whole.first.map_or(timestamp, |first| first.min(timestamp)));
        whole.last = Some(whole.last.map_or(timestamp, |last| last.max(timestamp)));
    }

    fn link_type(&mut self, link_type: u32) {
        let link_type = u16::try_from(link_type & 0xffff).unwrap_or(u16::MAX);
        if !self.whole.link_types.contains(&link_type) {
            self.whole.link_types.push(link_type);
        }
    }
}

/// The time that a line begins with, UTC nanoseconds.
fn time(line: &[u8]) -> Option<u64> {
    /// `2026-01-01T00:00:00.000000000Z`
    const LENGTH: usize = 30;
    let text = std::str::from_utf8(line.get(..LENGTH)?).ok()?;
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// The four bytes there, in the host's order; 0 where there are none.
fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}
