//! Recognises a packet that was seen before on its way through the host: on another interface, or on the same
//! one in the other direction.
//!
//! A packet at the place where it was seen first is recorded, as often as it comes by: it is a
//! retransmission, or another packet with the same bytes. Anything that is not IP is always recorded.

use aya_ebpf::bindings::__sk_buff;
use capture_common::{
    Bucket, LINK_ETHERNET, RecordHeader, SIGHTS, Seen, Sight,
    identity::{
        HEAD_BYTES, Head, IPV4_HEADER, IPV6_HEADER, TAIL_BYTES, clear_changing_ipv4,
        clear_changing_ipv6, packet_key,
    },
    place,
};

use crate::{
    config, maps,
    packet::{load_bytes, load_slowly, load_u16},
};

// From include/uapi/linux/if_ether.h.
const ETH_P_IP: u16 = 0x0800_u16.to_be();
const ETH_P_IPV6: u16 = 0x86dd_u16.to_be();
const ETH_P_8021Q: u16 = 0x8100_u16.to_be();
const ETH_P_8021AD: u16 = 0x88a8_u16.to_be();
const ETHERNET_ADDRESSES: u32 = 12;
const ETHERNET_HEADER: u32 = 14;
const VLAN_TAG: u32 = 4;

/// Offset of the length in the header.
const IPV4_LENGTH: u32 = 2;
const IPV6_LENGTH: u32 = 4;

#[derive(Clone, Copy)]
enum Version {
    Ipv4,
    Ipv6,
}

/// Whether the packet was seen at another place a moment ago. If not, this place is remembered as the
/// packet's first.
#[inline(always)]
pub fn is_duplicate<const LINK: u8>(skb: *mut __sk_buff, header: &RecordHeader) -> bool {
    // The verifier knows this number: without the option the rest is removed.
    if !config::records_each_packet_once() {
        return false;
    }
    let Some(key) = key::<LINK>(skb) else {
        return false;
    };
    let Some(bucket) = maps::bucket(key) else {
        return false;
    };
    let place = place(header.ifindex, header.direction, header.timestamp);
    // SAFETY: the lookup returned an element, which does not move as long as this program runs.
    unsafe { is_elsewhere(bucket, key, place) }
}

/// Searches the bucket for the packet, and remembers its place in the oldest sight if it is new.
///
/// # Safety
///
/// `bucket` is an element of the map. Other CPUs may change it: each word is read and written as a whole.
#[inline(always)]
unsafe fn is_elsewhere(bucket: *mut Bucket, key: u64, place: u64) -> bool {
    // SAFETY: the caller's promise; every index is below the length.
    unsafe {
        let sights = (&raw mut (*bucket).sights).cast::<Sight>();
        let mut replaced = sights;
        let mut oldest = 0;
        let mut index = 0;
        while index < SIGHTS {
            let sight = sights.add(index);
            let known = Sight {
                check: (&raw const (*sight).check).read_volatile(),
                place: (&raw const (*sight).place).read_volatile(),
            };
            match known.compare(key, place) {
                Seen::Elsewhere => return true,
                Seen::Here => {
                    remember(sight, key, place);
                    return false;
                }
                Seen::Other(age) if age > oldest => {
                    oldest = age;
                    replaced = sight;
                }
                Seen::Other(_) => {}
            }
            index += 1;
        }
        remember(replaced, key, place);
    }
    false
}

/// # Safety
///
/// `sight` is in an element of the map.
#[inline(always)]
unsafe fn remember(sight: *mut Sight, key: u64, place: u64) {
    let new = Sight::new(key, place);
    // SAFETY: the caller's promise.
    unsafe {
        (&raw mut (*sight).check).write_volatile(new.check);
        (&raw mut (*sight).place).write_volatile(new.place);
    }
}

/// The key of an IP packet: a hash of its length, of its first bytes without what changes on the way, and
/// of its last.
#[inline(always)]
fn key<const LINK: u8>(skb: *mut __sk_buff) -> Option<u64> {
    let (version, network) = if LINK == LINK_ETHERNET {
        after_ethernet(skb)?
    } else {
        (version(load_slowly(skb, 0)?)?, 0)
    };
    // SAFETY: the kernel passes every program a valid context.
    let available = unsafe { (*skb).len }.checked_sub(network)?;
    let length = length(skb, version, network, available)?;
    let mut head: Head = Default::default();
    // SAFETY: the array has that many bytes.
    let is_read = unsafe {
        let to = head.as_mut_ptr().cast();
        load_bytes(skb, network, to, length.min(HEAD_BYTES), HEAD_BYTES)
    };
    if !is_read {
        return None;
    }
    match version {
        Version::Ipv4 => clear_changing_ipv4(&mut head),
        Version::Ipv6 => clear_changing_ipv6(&mut head),
    }
    let tail = || load_slowly(skb, (network + length - TAIL_BYTES) as usize);
    packet_key(length, &head, tail, config::identity_key)
}

/// The offset of the IP header after the Ethernet header and the tags in the bytes, if there is one.
#[inline(always)]
fn after_ethernet(skb: *mut __sk_buff) -> Option<(Version, u32)> {
    let mut protocol = load_u16(skb, ETHERNET_ADDRESSES as usize)?;
    let mut network = ETHERNET_HEADER;
    if protocol == ETH_P_8021Q || protocol == ETH_P_8021AD {
        protocol = load_u16(skb, (ETHERNET_HEADER + 2) as usize)?;
        network += VLAN_TAG;
        if protocol == ETH_P_8021Q {
            protocol = load_u16(skb, (ETHERNET_HEADER + VLAN_TAG + 2) as usize)?;
            network += VLAN_TAG;
        }
    }
    match protocol {
        ETH_P_IP => Some((Version::Ipv4, network)),
        ETH_P_IPV6 => Some((Version::Ipv6, network)),
        _ => None,
    }
}

/// The version in the first byte of an IP header.
#[inline(always)]
fn version(first: u8) -> Option<Version> {
    match first >> 4 {
        4 => Some(Version::Ipv4),
        6 => Some(Version::Ipv6),
        _ => None,
    }
}

/// Bytes of the packet from its IP header on, without the padding of a short frame; `None` if its length
/// is wrong. A packet of segmentation offload may be too long for the header's field, which is then 0.
#[inline(always)]
fn length(skb: *mut __sk_buff, version: Version, network: u32, available: u32) -> Option<u32> {
    let (field, before, shortest) = match version {
        Version::Ipv4 => (IPV4_LENGTH, 0, IPV4_HEADER),
        Version::Ipv6 => (IPV6_LENGTH, IPV6_HEADER, IPV6_HEADER),
    };
    let said = load_u16(skb, (network + field) as usize)?;
    let said = u32::from(u16::from_be(said));
    let length = if said == 0 {
        available
    } else {
        available.min(before + said)
    };
    (length >= shortest).then_some(length)
}
