//! The limits of everything that a client may send, in one table.

/// Maximum message size of a call in bytes, before and after decompression. Only calls with sets of
/// targets need much.
pub(super) fn message(path: &str) -> usize {
    match path {
        "/capture.v1.CaptureService/StartCapture" | "/capture.v1.CaptureService/UpdateCapture" => {
            LARGEST_MESSAGE
        }
        _ => 128 << 10,
    }
}

/// The largest of these.
pub(super) const LARGEST_MESSAGE: usize = 4 << 20;

/// Maximum bytes of texts.
pub(super) const REQUEST_ID: usize = 128;
pub(super) const REASON: usize = 1024;
pub(super) const LABEL_KEY: usize = 63;
pub(super) const LABEL_VALUE: usize = 255;
pub(super) const CAPTURE_NAME: usize = 63;
pub(super) const FILE_NAME: usize = 255;
pub(super) const NAME_GLOB: usize = 256;
pub(super) const PAGE_TOKEN: usize = 255;
pub(super) const INTERFACE: usize = 64;
pub(super) const FILTER: usize = 65_536;
pub(super) const TARGET: usize = 64;
pub(super) const TUNNEL: usize = 32;
pub(super) const POD_TEXT: usize = 64;
pub(super) const SINK: usize = 40;
pub(super) const LOG_LEVEL: usize = 1024;
/// An expression that is evaluated in the daemon for each packet.
pub(super) const PACKET_FILTER: usize = 16_384;

/// Maximum elements of repeated fields.
pub(super) const LABELS: usize = 64;
pub(super) const INTERFACES: usize = 256;
pub(super) const TARGETS: usize = 65_536;
pub(super) const PORTS: usize = 65_536;
pub(super) const STATES: usize = 16;
pub(super) const NAMES: usize = 1000;
pub(super) const MASK_PATHS: usize = 16;

/// Violations listed in a status, and bytes of each text: standard clients reject trailers of more
/// than 8 KiB.
pub(super) const VIOLATIONS: usize = 16;
pub(super) const VIOLATION: usize = 200;
/// Bytes of a status message.
pub(super) const STATUS: usize = 1000;

/// Captures and files of a page, and bytes of a page: standard clients reject messages of more than 4
/// MiB.
pub(super) const PAGE: u32 = 1000;
pub(super) const PAGE_BYTES: usize = 1 << 20;
