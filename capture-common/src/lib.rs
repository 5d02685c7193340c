//! The data that the eBPF programs write and user space reads: the records of the ring buffer and the
//! counters of the ledger.
//!
//! The structs contain only integers and explicit padding, in the byte order of the machine. Sizes and
//! offsets are asserted at compile time, for the BPF target and for user space.
#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

mod counters;
pub mod identity;
mod record;
mod sight;

pub use counters::{Counters, INTERFACES, SLOTS_LENGTH, Slot, UNKNOWN_INTERFACE, slot_index};
pub use record::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, LINK_ETHERNET, LINK_RAW, MAX_CAPTURED_LENGTH,
    PROGRAMS_LENGTH, RECORD_DATA, RECORD_OWN, RecordHeader, SIZE_CLASSES, SPILL_HEAD,
    decode_record, program_index,
};
pub use sight::{BUCKETS, Bucket, SIGHT_WINDOW, SIGHTS, Seen, Sight, bucket_index, place};

/// Maximum TCP endpoints of the daemon in the programs.
pub const OWN_ENDPOINTS: usize = 4;
