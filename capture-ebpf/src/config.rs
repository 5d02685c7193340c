//! Settings that user space writes before it loads the programs. The kernel freezes them, so the
//! verifier treats them as constants and removes the code that they make unreachable.

use aya_ebpf::Global;
use capture_common::{OWN_ENDPOINTS, identity::KEYS};

/// Maximum bytes kept of a packet, at least 1.
#[unsafe(no_mangle)]
static SNAPLEN: Global<u32> = Global::new(0);

/// Bytes of the front ring between two wake-ups, a power of two.
#[unsafe(no_mangle)]
static WAKEUP_DISTANCE: Global<u64> = Global::new(0);

/// 1 if there is a spill ring, else 0.
#[unsafe(no_mangle)]
static HAS_SPILL: Global<u8> = Global::new(0);

/// 1 where the kernel has `bpf_ktime_get_tai_ns` (6.1), else 0.
#[unsafe(no_mangle)]
static TAI_CLOCK: Global<u8> = Global::new(0);

/// The TCP ports where the daemon listens, in network byte order, 16 bits each; 0 for none.
#[unsafe(no_mangle)]
static OWN_PORTS: Global<u64> = Global::new(0);

/// The addresses where the daemon listens on these ports, in network byte order, IPv4 ones mapped to
/// IPv6; 0 for every address.
#[unsafe(no_mangle)]
static OWN_ADDRESS_0: Global<[u32; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static OWN_ADDRESS_1: Global<[u32; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static OWN_ADDRESS_2: Global<[u32; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static OWN_ADDRESS_3: Global<[u32; 4]> = Global::new([0; 4]);

/// 1 if packets of the daemon's own connections are recorded, else 0.
#[unsafe(no_mangle)]
static INCLUDE_OWN: Global<u8> = Global::new(0);

/// 1 if a packet is recorded only at the first place where it is seen, else 0.
#[unsafe(no_mangle)]
static EACH_PACKET_ONCE: Global<u8> = Global::new(0);

/// Random numbers, with which packets are hashed.
#[unsafe(no_mangle)]
static IDENTITY_KEYS: [Global<u64>; KEYS] = [const { Global::new(0) }; KEYS];

/// The key at an index below [`KEYS`].
#[inline(always)]
pub fn identity_key(index: usize) -> u64 {
    IDENTITY_KEYS[index].load()
}

#[inline(always)]
pub fn own_ports() -> u64 {
    OWN_PORTS.load()
}

#[inline(always)]
pub fn own_address(index: usize) -> [u32; 4] {
    const { assert!(OWN_ENDPOINTS == 4) };
    match index {
        0 => OWN_ADDRESS_0.load(),
        1 => OWN_ADDRESS_1.load(),
        2 => OWN_ADDRESS_2.load(),
        _ => OWN_ADDRESS_3.load(),
    }
}

#[inline(always)]
pub fn includes_own() -> bool {
    INCLUDE_OWN.load() != 0
}

#[inline(always)]
pub fn records_each_packet_once() -> bool {
    EACH_PACKET_ONCE.load() != 0
}

#[inline(always)]
pub fn snaplen() -> u32 {
    SNAPLEN.load()
}

#[inline(always)]
pub fn wakeup_distance() -> u64 {
    WAKEUP_DISTANCE.load()
}

#[inline(always)]
pub fn has_spill() -> bool {
    HAS_SPILL.load() != 0
}

#[inline(always)]
pub fn has_tai_clock() -> bool {
    TAI_CLOCK.load() != 0
}
