//! Shared by the load generator's XDP program and user space.
#![no_std]

/// Slot of the `STATE` map: nanoseconds from one packet to the next; 0 for maximum speed.
pub const INTERVAL: u32 = 0;
/// Slot of the `STATE` map: when the next packet is due, `CLOCK_MONOTONIC` nanoseconds.
pub const DUE: u32 = 1;
/// Slot of the `STATE` map: packets created so far; also the number written into the next one.
pub const SEQUENCE: u32 = 2;
/// Slot of the `STATE` map: when the first packet was created, `CLOCK_MONOTONIC` nanoseconds.
pub const FIRST: u32 = 3;
/// Slot of the `STATE` map: when the latest packet was created, `CLOCK_MONOTONIC` nanoseconds.
pub const LATEST: u32 = 4;
/// Slot of the `STATE` map: nanoseconds spent waiting for packets to be due.
pub const WAITED: u32 = 5;
/// Slots of the `STATE` map.
pub const SLOTS: u32 = 6;

/// Offset of each packet's number, 8 bytes in network order: after Ethernet, IPv4 and UDP.
pub const SEQUENCE_OFFSET: usize = 14 + 20 + 8;
