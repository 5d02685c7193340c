//! The gRPC API of captured, generated from `capture/v1/*.proto`, where it is documented.

/// Version 1 of the API.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

    tonic::include_proto!("capture.v1");

    /// The descriptors for gRPC reflection: every message, field and comment of the API.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        tonic::include_file_descriptor_set!("capture_v1_descriptor");
}
