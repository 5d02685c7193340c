//! What identifies a packet on its way through a host: the bytes that veths, bridges, VLANs and routing do
//! not change.
//!
//! These are pure functions of the packet's bytes, so that they can be tested in user space.

/// The first bytes of a packet from its IP header on, as words in the byte order of the machine; 0 after
/// the end of a shorter packet.
pub type Head = [u64; HEAD_WORDS];

/// Words of a [`Head`] that a packet of at most [`NEAR_BYTES`] fills.
const NEAR_WORDS: usize = HEAD_WORDS / 2;

/// Bytes of a packet whose other half of the [`Head`] is 0, and not hashed.
const NEAR_BYTES: u32 = NEAR_WORDS as u32 * 8;

/// The last bytes of a packet that is longer than its [`Head`].
pub type Tail = [u64; TAIL_WORDS];

/// Words of a [`Head`].
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

/// Words of a hash's keys: one for the length and for each word of [`Head`] and [`Tail`], and one more.
pub const KEYS: usize = 1 + HEAD_WORDS + TAIL_WORDS + 1;

/// The key of a packet of this many bytes from its IP header on: a hash of the length, of the head, and of the tail of a
/// packet that is longer than its head; never 0, which is the key of no packet. `tail` reads it, and there is no key if
/// it cannot. `keys` gives the secret key at an index below [`KEYS`].
#[inline(always)]
pub fn packet_key(
    length: u32,
    head: &Head,
    tail: impl FnOnce() -> Option<Tail>,
    keys: impl Fn(usize) -> u64,
) -> Option<u64> {
    let mut hash = Hash {
        first: 0,
        second: 0,
    };
    hash.add(u64::from(length), keys(0), keys(1));
    let mut index = 0;
    while index < NEAR_WORDS {
        hash.add(head[index], keys(1 + index), keys(2 + index));
        index += 1;
    }
    if length > NEAR_BYTES {
        while index < HEAD_WORDS {
            hash.add(head[index], keys(1 + index), keys(2 + index));
            index += 1;
        }
    }
    if length > HEAD_BYTES {
        let tail = tail()?;
        let before = 1 + HEAD_WORDS;
        let mut index = 0;
        while index < TAIL_WORDS {
            hash.add(tail[index], keys(before + index), keys(before + 1 + index));
            index += 1;
        }
    }
    Some(hash.finish())
}

/// A hash of 64 bits with secret keys: NH of Black et al., "UMAC: Fast and Secure Message Authentication" (CRYPTO
/// '99), computed twice, the second time with the keys of the next word. Two different packets of one length that
/// somebody chose without knowing the keys have the same two sums with a probability of 2^-64: nobody can choose a packet
/// that is taken for another one.
struct Hash {
    first: u64,
    second: u64,
}

impl Hash {
    #[inline(always)]
    const fn add(&mut self, word: u64, key: u64, next: u64) {
        self.first = self.first.wrapping_add(product(word, key));
        self.second = self.second.wrapping_add(product(word, next));
    }

    #[inline(always)]
    const fn finish(self) -> u64 {
        // Every bit depends on every one before, as at the end of MurmurHash3 (Appleby, public domain).
        let mut key = self.first ^ self.second.rotate_left(32);
        key = (key ^ (key >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        key = (key ^ (key >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        key ^= key >> 33;
        if key == 0 { 1 } else { key }
    }
}

/// The product of the word's halves, to each of which one of the key's is added.
#[inline(always)]
const fn product(word: u64, key: u64) -> u64 {
    let low = (word as u32).wrapping_add(key as u32);
    let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
    low as u64 * high as u64
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::BTreeSet, vec, vec::Vec};

    use super::{
        HEAD_BYTES, HEAD_WORDS, Head, KEYS, NEAR_BYTES, NEAR_WORDS, TAIL_WORDS, Tail,
        clear_changing_ipv4, clear_changing_ipv6, packet_key,
    };

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

    /// Numbers without a pattern: SplitMix64 (Steele et al., 2014).
    fn random(index: usize) -> u64 {
        let mut z = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn key(index: usize) -> u64 {
        assert!(index < KEYS);
        random(index)
    }

    fn hash(length: u32, head: &Head, tail: Option<&Tail>) -> u64 {
        packet_key(length, head, || tail.copied(), key).expect("a tail")
    }

    /// The bytes that do not count, of a packet with this IPv4 header or the one of IPv6.
    fn changing(header: &[u8], clear: fn(&mut Head)) -> Vec<usize> {
        let mut packet = vec![0x11; 128];
        packet[..header.len()].copy_from_slice(header);
        let key = |packet: &[u8]| {
            let mut head = head(packet);
            clear(&mut head);
            hash(128, &head, None)
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
    fn every_bit_of_head_and_tail_counts() {
        let (head, tail) = ([0x11; HEAD_WORDS], [0x22; TAIL_WORDS]);
        let before = hash(HEAD_BYTES + 1, &head, Some(&tail));
        for bit in 0..HEAD_WORDS * 64 {
            let mut changed = head;
            changed[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(hash(HEAD_BYTES + 1, &changed, Some(&tail)), before);
        }
        for bit in 0..TAIL_WORDS * 64 {
            let mut changed = tail;
            changed[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(hash(HEAD_BYTES + 1, &head, Some(&changed)), before);
        }
    }

    #[test]
    fn keys_of_packets_that_differ_in_a_counter_are_different_and_fill_all_buckets() {
        for word in 0..NEAR_WORDS {
            let of = |number: u64| {
                let mut head = [0; HEAD_WORDS];
                head[word] = number;
                hash(NEAR_BYTES, &head, None)
            };
            let keys: BTreeSet<u64> = (0..1 << 14).map(of).collect();
            assert_eq!(keys.len(), 1 << 14, "word {word}");
            let buckets: BTreeSet<u64> = keys.iter().map(|key| key & 0xfff).collect();
            assert!(buckets.len() > 4000, "word {word}: {}", buckets.len());
        }
    }

    #[test]
    fn with_other_keys_a_packet_has_another_key() {
        let head = [0x11; HEAD_WORDS];
        for changed in 0..KEYS {
            let other = |index| key(index) ^ u64::from(index == changed) << 7;
            let of = |keys: &dyn Fn(usize) -> u64| {
                packet_key(200, &head, || Some([0x22; TAIL_WORDS]), keys)
            };
            assert_ne!(of(&key), of(&other), "key {changed}");
        }
    }

    #[test]
    fn a_shorter_packet_is_another_packet() {
        let head = head(&[0x45; 40]);
        let of = |length| hash(length, &head, None);
        assert_ne!(of(40), of(41));
        assert_eq!(of(40), of(40));
    }

    #[test]
    fn a_packet_whose_tail_cannot_be_read_has_no_key() {
        let of = |length| packet_key(length, &[0x11; HEAD_WORDS], || None, key);
        assert!(of(HEAD_BYTES).is_some());
        assert_eq!(of(HEAD_BYTES + 1), None);
    }
}
