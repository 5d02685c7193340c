//! The vocabulary of captures: what they are to do, who may ask for it, and the ledger of what became of
//! each packet. Everything here is plain data; whoever converts a request, a command line or a file into
//! it does so once, at the edge.

mod direction;
mod filter;
mod ledger;
mod link_type;
mod name;
pub mod pod;
mod role;
mod spec;
pub mod time;
mod tunnel;
pub mod values;

pub use direction::{Direction, Directions};
pub use filter::{
    FilterSpec, InnerSpec, MAX_TARGETS, PodAddresses, PodStage, TargetKinds, TargetSet,
};
pub use ledger::{Count, Discarded, Imbalance, Ledger, PartialLedger, stopped_text};
pub use link_type::LinkType;
pub use name::{CaptureName, NameError};
pub use pod::{Pod, PodAttachment, PodId, PodSelection, PodState};
pub use role::Role;
pub use spec::{
    CaptureSpec, CompressWhen, Compression, Format, InterfacePattern, Limits, MinFree, Output,
    OutputSpec, Retention, Rotation,
};
pub use tunnel::{Tunnel, TunnelError, TunnelProtocol};
