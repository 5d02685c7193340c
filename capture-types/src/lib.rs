//! The vocabulary of captures: their specification, the roles of clients, and the ledger of every
//! packet's outcome. Everything here is plain data; requests, command lines and files are converted to
//! it once, at the edge.

mod digest;
mod direction;
mod filter;
mod ledger;
mod link_type;
mod name;
pub mod pod;
mod role;
mod sink;
mod spec;
pub mod time;
mod tunnel;
pub mod values;

pub use digest::{Digest, DigestAlgorithm};
pub use direction::{Direction, Directions};
pub use filter::{
    FilterSpec, InnerSpec, MAX_TARGETS, PodAddresses, PodStage, TargetKinds, TargetSet,
};
pub use ledger::{
    Count, Discarded, Imbalance, Ledger, PartialLedger, duplicate_text, stopped_text,
};
pub use link_type::LinkType;
pub use name::{CaptureName, NameError};
pub use pod::{Pod, PodAttachment, PodId, PodSelection, PodState};
pub use role::Role;
pub use sink::{MAX_SINKS, SinkName, distinct_sinks};
pub use spec::{
    CaptureSpec, CompressWhen, Compression, Format, InterfacePattern, Limits, MinFree, Output,
    OutputSpec, Retention, Rotation,
};
pub use tunnel::{Tunnel, TunnelError, TunnelProtocol};
