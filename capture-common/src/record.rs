use core::mem::{offset_of, size_of};

/// The header before each packet's bytes in a ring buffer record: 24 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Nanoseconds of `CLOCK_TAI` where the kernel has `bpf_ktime_get_tai_ns` (6.1), else of
    /// `CLOCK_MONOTONIC`.
    pub timestamp: u64,
    /// Bytes of the packet on the wire, including a VLAN tag that the program restored.
    pub original_length: u32,
    /// Bytes of the packet that follow this header; the record itself has the length of its size class.
    pub captured_length: u32,
    /// Index of the interface that the packet was seen on.
    pub ifindex: u32,
    /// [`DIRECTION_INGRESS`] or [`DIRECTION_EGRESS`].
    pub direction: u8,
    /// [`LINK_ETHERNET`] or [`LINK_RAW`].
    pub link: u8,
    /// `PACKET_HOST`, `PACKET_BROADCAST`, ... of `linux/if_packet.h`.
    pub packet_type: u8,
    /// [`RECORD_OWN`], or 0.
    pub flags: u8,
}

impl RecordHeader {
    /// Decodes a header, at any alignment.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: &[u8; RECORD_DATA]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            o0,
            o1,
            o2,
            o3,
            c0,
            c1,
            c2,
            c3,
            i0,
            i1,
            i2,
            i3,
            direction,
            link,
            packet_type,
            flags,
        ] = *bytes;
        Self {
            timestamp: u64::from_ne_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            original_length: u32::from_ne_bytes([o0, o1, o2, o3]),
            captured_length: u32::from_ne_bytes([c0, c1, c2, c3]),
            ifindex: u32::from_ne_bytes([i0, i1, i2, i3]),
            direction,
            link,
            packet_type,
            flags,
        }
    }
}

/// Splits a record into its header and the packet's bytes; `None` if the record is malformed, which only
/// a program from another build could cause.
#[must_use]
#[inline(always)]
pub fn decode_record(record: &[u8]) -> Option<(RecordHeader, &[u8])> {
    let (header, data) = record.split_first_chunk::<RECORD_DATA>()?;
    let header = RecordHeader::from_bytes(header);
    let bytes = data.get(..header.captured_length as usize)?;
    Some((header, bytes))
}

/// A flag: the packet belongs to a connection of the daemon itself.
pub const RECORD_OWN: u8 = 1;

/// The interface received the packet.
pub const DIRECTION_INGRESS: u8 = 0;
/// The interface sends the packet.
pub const DIRECTION_EGRESS: u8 = 1;

/// The bytes begin with an Ethernet header.
pub const LINK_ETHERNET: u8 = 0;
/// The bytes begin with an IPv4 or IPv6 header.
pub const LINK_RAW: u8 = 1;

/// The number of capture programs.
pub const PROGRAMS_LENGTH: u32 = 4;

/// The index of the capture program for a direction and a link type in the map `PROGRAMS`.
#[must_use]
pub const fn program_index(direction: u8, link: u8) -> u32 {
    direction as u32 + 2 * link as u32
}

/// The offset of the packet's bytes in a record.
pub const RECORD_DATA: usize = size_of::<RecordHeader>();

/// Bytes before the header of a record in the spill ring: a position of the front ring, as a `u64`. The
/// front ring's records up to this position come first.
pub const SPILL_HEAD: usize = size_of::<u64>();

/// Capacity in packet bytes of a record of each size class, ascending.
///
/// `bpf_ringbuf_reserve` accepts only sizes that the verifier knows. The classes follow common packet
/// sizes: acknowledgements, small requests, an Ethernet frame of 1,514 bytes with one or two tags, jumbo
/// frames, and the large packets of segmentation offload. Each record, including the header and the
/// ring buffer's own 8 bytes, is a multiple of 32 bytes.
pub const SIZE_CLASSES: [u32; 12] = [
    64,
    96,
    160,
    288,
    544,
    1056,
    1536,
    2592,
    4608,
    9248,
    20_512,
    MAX_CAPTURED_LENGTH,
];

/// Maximum bytes captured of one packet: an IP datagram of 65,535 bytes with its Ethernet header and two
/// VLAN tags, rounded up to a record's alignment. A longer packet (BIG TCP) is truncated and counted.
pub const MAX_CAPTURED_LENGTH: u32 = 65_568;

const _: () = {
    assert!(size_of::<RecordHeader>() == 24);
    assert!(offset_of!(RecordHeader, timestamp) == 0);
    assert!(offset_of!(RecordHeader, original_length) == 8);
    assert!(offset_of!(RecordHeader, captured_length) == 12);
    assert!(offset_of!(RecordHeader, ifindex) == 16);
    assert!(offset_of!(RecordHeader, direction) == 20);
    assert!(offset_of!(RecordHeader, link) == 21);
    assert!(offset_of!(RecordHeader, packet_type) == 22);
    assert!(offset_of!(RecordHeader, flags) == 23);
    let mut class = 0;
    while class < SIZE_CLASSES.len() {
        assert!((SIZE_CLASSES[class] as usize + RECORD_DATA + 8).is_multiple_of(32));
        class += 1;
    }
};
