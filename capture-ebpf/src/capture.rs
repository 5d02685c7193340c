//! Copies one packet into the ring buffer and counts its outcome.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_RB_NO_WAKEUP},
    helpers::generated::{
        bpf_ktime_get_ns, bpf_ktime_get_tai_ns, bpf_ringbuf_discard, bpf_ringbuf_submit,
    },
    maps::RingBuf,
    programs::TcContext,
};
use capture_common::{
    LINK_ETHERNET, MAX_CAPTURED_LENGTH, RECORD_DATA, RECORD_OWN, RecordHeader, SIZE_CLASSES,
    SPILL_HEAD,
};

use crate::{config, duplicate, maps, own, packet::load_bytes, wakeup};

/// Bytes of a VLAN tag in a frame, right after the two addresses.
const VLAN_TAG_LENGTH: u32 = 4;
const ADDRESSES_LENGTH: u32 = 12;

/// Bytes that the ring buffer itself puts before a record.
const RING_HEADER: u64 = 8;

enum Fate {
    Submitted,
    RingFull,
    Unreadable,
}

/// Properties of a packet before it is copied.
struct Packet {
    skb: *mut __sk_buff,
    header: RecordHeader,
    /// The tag in network byte order, if the kernel keeps it outside the bytes; else 0. A tag
    /// always contains its protocol, so it is never 0.
    vlan_tag: u32,
}

#[inline(always)]
pub fn capture<const DIRECTION: u8, const LINK: u8>(context: &TcContext) {
    let mut packet = Packet::new(context.skb.skb, DIRECTION, LINK);
    let Some(counters) = maps::counters(packet.header.ifindex) else {
        return;
    };
    // SAFETY: the lookup returned an element, which does not move as long as this program runs, and no
    // other CPU writes to this CPU's counters.
    let counters = unsafe { &mut *counters };
    if own::is_own::<LINK>(packet.skb) {
        if !config::includes_own() {
            counters.filtered += 1;
            counters.own += 1;
            return;
        }
        packet.header.flags = RECORD_OWN;
    }
    if duplicate::is_duplicate::<LINK>(packet.skb, &packet.header) {
        counters.duplicate += 1;
        return;
    }
    let fate = copy(&packet);
    match fate {
        Fate::Submitted => {
            counters.submitted += 1;
            if packet.header.captured_length < packet.header.original_length {
                counters.truncated += 1;
            }
        }
        Fate::RingFull => counters.ring_full += 1,
        Fate::Unreadable => {
            counters.unreadable += 1;
            aya_log_ebpf::warn!(
                context,
                "interface {}: {} bytes could not be read",
                packet.header.ifindex,
                packet.header.captured_length
            );
        }
    }
}

impl Packet {
    #[inline(always)]
    fn new(skb: *mut __sk_buff, direction: u8, link: u8) -> Self {
        // SAFETY: the kernel passes every program a valid context.
        let (length, ifindex, packet_type) =
            unsafe { ((*skb).len, (*skb).ifindex, (*skb).pkt_type) };
        let vlan_tag = if link == LINK_ETHERNET {
            vlan_tag(skb)
        } else {
            0
        };
        let original_length = if vlan_tag == 0 {
            length
        } else {
            length + VLAN_TAG_LENGTH
        };
        let captured_length = original_length
            .min(config::snaplen())
            .min(MAX_CAPTURED_LENGTH);
        Self {
            skb,
            vlan_tag,
            header: RecordHeader {
                timestamp: now(),
                original_length,
                captured_length,
                ifindex,
                direction,
                link,
                packet_type: packet_type as u8,
                flags: 0,
            },
        }
    }
}

/// The VLAN tag that the kernel keeps outside the packet's bytes, in the byte order of a frame.
#[inline(always)]
fn vlan_tag(skb: *mut __sk_buff) -> u32 {
    // SAFETY: as in `Packet::new`.
    let (present, protocol, tci) =
        unsafe { ((*skb).vlan_present, (*skb).vlan_proto, (*skb).vlan_tci) };
    if present == 0 {
        return 0;
    }
    // `vlan_proto` is in network byte order already, `vlan_tci` is not. In a frame the protocol comes
    // first, at the lower address.
    let tci = u32::from((tci as u16).to_be());
    let protocol = protocol & 0xffff;
    if cfg!(target_endian = "little") {
        protocol | (tci << 16)
    } else {
        (protocol << 16) | tci
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: these helpers take no arguments. The verifier removes the one that this kernel lacks.
    unsafe {
        if config::has_tai_clock() {
            bpf_ktime_get_tai_ns()
        } else {
            bpf_ktime_get_ns()
        }
    }
}

/// Copies the packet into a record of the smallest sufficient size class.
#[inline(always)]
fn copy(packet: &Packet) -> Fate {
    macro_rules! smallest_class {
        ($($class:literal)*) => {
            $(
                if packet.header.captured_length <= SIZE_CLASSES[$class] {
                    return copy_into::<{ SIZE_CLASSES[$class] }>(packet);
                }
            )*
        };
    }
    const { assert!(SIZE_CLASSES.len() == 12) };
    smallest_class!(0 1 2 3 4 5 6 7 8 9 10 11);
    Fate::Unreadable
}

/// Copies the packet into a record for `ROOM` bytes of packet: in the front ring, or in the spill ring
/// if the front ring is full.
#[inline(always)]
fn copy_into<const ROOM: u32>(packet: &Packet) -> Fate {
    let size = RECORD_DATA + ROOM as usize;
    if let Some(start) = reserve(&maps::FRONT, size) {
        // SAFETY: the record is reserved, `size` bytes long, and submitted or discarded only here.
        return unsafe {
            finish(start, fill::<ROOM>(packet, start), || {
                wakeup::flags(size as u64 + RING_HEADER)
            })
        };
    }
    if !config::has_spill() {
        return Fate::RingFull;
    }
    // Read before the record is reserved: what this CPU puts into the front ring later comes after it.
    let behind = maps::front_position();
    let Some(start) = reserve(&maps::SPILL, SPILL_HEAD + size) else {
        return Fate::RingFull;
    };
    // SAFETY: as above; the position is written before the `size` bytes of the record.
    unsafe {
        start.cast::<u64>().write(behind);
        let filled = fill::<ROOM>(packet, start.add(SPILL_HEAD));
        finish(start, filled, || wakeup::WHEN_FIRST)
    }
}

/// Reserves a record, aligned to 8 bytes; `None` if there is no room. The caller must submit or discard it.
#[inline(always)]
fn reserve(ring: &RingBuf, size: usize) -> Option<*mut u8> {
    // Dropping aya's handle does nothing.
    ring.reserve_bytes(size, 0)
        .map(|mut record| record.as_mut_ptr())
}

/// Writes the header and the packet's bytes; `false` if the bytes cannot be read.
///
/// # Safety
///
/// `to` is aligned to 8 and has room for the header and `ROOM` bytes after it.
#[inline(always)]
unsafe fn fill<const ROOM: u32>(packet: &Packet, to: *mut u8) -> bool {
    // SAFETY: the caller's promise; the copies write at most `ROOM` bytes after the header.
    unsafe {
        to.cast::<RecordHeader>().write(packet.header);
        let data = to.add(RECORD_DATA);
        if packet.vlan_tag == 0 {
            load_bytes(packet.skb, 0, data, packet.header.captured_length, ROOM)
        } else {
            load_tagged::<ROOM>(packet, data)
        }
    }
}

/// Submits a record, or discards it if it could not be filled.
///
/// # Safety
///
/// `start` is a reserved record, which is not used after this.
#[inline(always)]
unsafe fn finish(start: *mut u8, filled: bool, flags: impl FnOnce() -> u64) -> Fate {
    // SAFETY: the caller's promise.
    unsafe {
        if filled {
            bpf_ringbuf_submit(start.cast(), flags());
            Fate::Submitted
        } else {
            bpf_ringbuf_discard(start.cast(), u64::from(BPF_RB_NO_WAKEUP));
            Fate::Unreadable
        }
    }
}

/// Copies the two addresses, the tag, and the rest of the packet.
///
/// # Safety
///
/// `data` has room for `ROOM` bytes.
#[inline(always)]
unsafe fn load_tagged<const ROOM: u32>(packet: &Packet, data: *mut u8) -> bool {
    let captured = packet.header.captured_length;
    let before = captured.min(ADDRESSES_LENGTH);
    // SAFETY: the smallest class has room for the addresses and the tag, and the last copy is bounded by
    // the remaining room.
    unsafe {
        if !load_bytes(packet.skb, 0, data, before, ADDRESSES_LENGTH) {
            return false;
        }
        data.add(ADDRESSES_LENGTH as usize)
            .cast::<u32>()
            .write(packet.vlan_tag);
        let begun = ADDRESSES_LENGTH + VLAN_TAG_LENGTH;
        if captured <= begun {
            return true;
        }
        load_bytes(
            packet.skb,
            ADDRESSES_LENGTH,
            data.add(begun as usize),
            captured - begun,
            ROOM - begun,
        )
    }
}
