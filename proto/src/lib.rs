//! The gRPC API of captured. It is documented in `capture/v1/*.proto`; the code in `generated` is made from these
//! by the test in `tests/generated.rs`, so that building the programs needs no compiler of protocol buffers.

/// Version 1 of the API.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

    include!("generated/capture.v1.rs");

    /// The descriptors for gRPC reflection: every message, field and comment of the API.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/capture.v1.binpb");
}
