//! What identifies a packet on its way through a host: the bytes that veths, bridges, VLANs and routing do
//! not change.
//!
//! These are pure functions of the packet's bytes, so that they can be tested in user space.

/// The first bytes of a packet from its IP header on, as words in the byte order of the machine; 0 after
/// the end of a shorter packet.
pub type Head = [u64; HEAD_WORDS];

/// The last bytes of a packet that is longer than its [`Head`].
pub type Tail = [u64; TAIL_WORDS];

const HEAD_WORDS: usize = 16;
const TAIL_WORDS: usize = 4;

/// Bytes of a packet in its [`Head`]: the headers, and at least 48 bytes of payload.
pub const HEAD_BYTES: u32 = HEAD_WORDS as u32 * 8;

/// Bytes of a packet in its [`Tail`].
pub const TAIL_BYTES: u32 = TAIL_WORDS as u32 * 8;

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: u32 = 20;
/// Bytes of an IPv6 header.
pub const IPV6_HEADER: u32 = 40;

// From include/uapi/linux/in.h.
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_SCTP: u8 = 132;

/// Clears what changes in an IPv4 packet: DSCP and ECN, the time to live, the header's checksum, and the
/// transport's checksum, which the kernel completes late where a device could do it instead.
#[inline(always)]
pub fn clear_changing_ipv4(head: &mut Head) {
    let [version, _, _, _, _, _, fragment, offset] = head[0].to_ne_bytes();
    let [_, protocol, ..] = head[1].to_ne_bytes();
    head[0] &= u64::from_ne_bytes([255, 0, 255, 255, 255, 255, 255, 255]);
    head[1] &= u64::from_ne_bytes([0, 255, 0, 0, 255, 255, 255, 255]);
    let is_later_fragment = fragment & 0x1f != 0 || offset != 0;
    if is_later_fragment || version & 15 != 5 {
        // No transport header, or not where it usually is: everything else counts.
        return;
    }
    match protocol {
        IPPROTO_TCP => head[4] &= u64::from_ne_bytes([255, 255, 255, 255, 0, 0, 255, 255]),
        IPPROTO_UDP => head[3] &= u64::from_ne_bytes([255, 255, 0, 0, 255, 255, 255, 255]),
        IPPROTO_SCTP => head[3] &= u64::from_ne_bytes([255, 255, 255, 255, 0, 0, 0, 0]),
        _ => {}
    }
}

/// Clears what changes in an IPv6 packet: traffic class, hop limit, and the transport's checksum as for
/// IPv4.
#[inline(always)]
pub fn clear_changing_ipv6(head: &mut Head) {
    let [_, _, _, _, _, _, next, _] = head[0].to_ne_bytes();
    head[0] &= u64::from_ne_bytes([0xf0, 0x0f, 255, 255, 255, 255, 255, 0]);
    match next {
        IPPROTO_TCP => head[7] &= u64::from_ne_bytes([0, 0, 255, 255, 255, 255, 255, 255]),
        IPPROTO_UDP => head[5] &= u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 0, 0]),
        IPPROTO_SCTP => head[6] &= u64::from_ne_bytes([0, 0, 0, 0, 255, 255, 255, 255]),
        _ => {}
    }
}

/// A hash of 64 bits over words: the mixing of MurmurHash3 (Appleby, public domain).
#[derive(Debug, Clone, Copy)]
pub struct Hash(u64);

impl Hash {
    /// Begins with the packet's length.
    #[must_use]
    #[inline(always)]
    pub const fn of_length(length: u32) -> Self {
        Self(length as u64)
    }

    /// Adds words.
    #[must_use]
    #[inline(always)]
    pub const fn with<const N: usize>(self, words: &[u64; N]) -> Self {
        let mut hash = self.0;
        let mut index = 0;
        while index < N {
            let word = words[index]
                .wrapping_mul(0x87c3_7b91_1142_53d5)
                .rotate_left(31)
                .wrapping_mul(0x4cf5_ad43_2745_937f);
            hash = (hash ^ word)
                .rotate_left(27)
                .wrapping_mul(5)
                .wrapping_add(0x52dc_e729);
            index += 1;
        }
        Self(hash)
    }

    /// The key of the packet; never 0, which is the key of no packet.
    #[must_use]
    #[inline(always)]
    pub const fn key(self) -> u64 {
        let mut key = self.0;
        key = (key ^ (key >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        key = (key ^ (key >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        key ^= key >> 33;
        if key == 0 { 1 } else { key }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::{Hash, Head, clear_changing_ipv4, clear_changing_ipv6};

    const FIRST: [u8; 20] = [
        0x45, 0, 0, 60, 1, 2, 0x40, 0, 64, 0, 9, 9, 10, 0, 0, 1, 10, 0, 0, 2,
    ];

    fn head(bytes: &[u8]) -> Head {
        let mut head = [0; 16];
        for (word, chunk) in head.iter_mut().zip(bytes.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(bytes);
        }
        head
    }

    /// The bytes that do not count, of a packet with this IPv4 header or the one of IPv6.
    fn changing(header: &[u8], clear: fn(&mut Head)) -> Vec<usize> {
        let mut packet = vec![0x11; 128];
        packet[..header.len()].copy_from_slice(header);
        let key = |packet: &[u8]| {
            let mut head = head(packet);
            clear(&mut head);
            Hash::of_length(128).with(&head).key()
        };
        let before = key(&packet);
        let is_changing = |at: &usize| {
            let mut changed = packet.clone();
            changed[*at] ^= 0x80;
            key(&changed) == before
        };
        (0..128).filter(is_changing).collect()
    }

    fn ipv4(protocol: u8, fragment: u16) -> Vec<usize> {
        let mut header = FIRST;
        header[9] = protocol;
        header[6..8].copy_from_slice(&fragment.to_be_bytes());
        changing(&header, clear_changing_ipv4)
    }

    #[test]
    fn only_what_changes_on_the_way_does_not_count() {
        let header = [1, 8, 10, 11];
        let with = |transport: &[usize]| [&header[..], transport].concat();
        assert_eq!(ipv4(1, 0x4000), header, "ICMP");
        assert_eq!(ipv4(6, 0x4000), with(&[36, 37]), "TCP");
        assert_eq!(ipv4(17, 0x2000), with(&[26, 27]), "UDP, the first fragment");
        assert_eq!(ipv4(132, 0), with(&[28, 29, 30, 31]), "SCTP");
        assert_eq!(ipv4(17, 0x2001), header, "UDP, a later fragment");
        assert_eq!(ipv4(17, 0x0100), header, "UDP, the last fragment");
        let mut options = FIRST;
        options[0] = 0x46;
        options[9] = 6;
        assert_eq!(
            changing(&options, clear_changing_ipv4),
            header,
            "with options"
        );
    }

    #[test]
    fn of_ipv6_the_class_and_the_hop_limit_do_not_count() {
        let of = |next: u8| {
            let mut header = [0x22; 40];
            header[0] = 0x60;
            header[6] = next;
            changing(&header, clear_changing_ipv6)
        };
        // The highest bit of byte 1 belongs to the traffic class, that of byte 0 to the version.
        assert_eq!(of(58), [1, 7], "ICMPv6");
        assert_eq!(of(6), [1, 7, 56, 57], "TCP");
        assert_eq!(of(17), [1, 7, 46, 47], "UDP");
        assert_eq!(of(132), [1, 7, 48, 49, 50, 51], "SCTP");
    }

    #[test]
    fn a_shorter_packet_is_another_packet() {
        let head = head(&[0x45; 40]);
        let of = |length| Hash::of_length(length).with(&head).key();
        assert_ne!(of(40), of(41));
        assert_eq!(of(40), of(40));
    }
}
