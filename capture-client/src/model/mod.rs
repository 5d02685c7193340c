//! The data that nodes return, as plain types with stable field names: the output of `-o json` and
//! `-o yaml`. Independent of gRPC.

mod capture;
mod file;
mod ledger;
mod node;
mod packet;
mod pod;
mod spec;
mod time;

pub use capture::{Capture, Event, EventKind, ExportState, State, StateReason};
pub use file::{File, FileEndReason, FileState, Listing, Removed};
pub use ledger::InterfaceLedger;
pub use node::{Clock, Features, NetworkInterface, Node, NodeLimits, NodeUsage};
pub use packet::{Packet, StreamEvent, StreamInterface};
pub use pod::{Pod, PodAttachment, PodSelection, PodState};
pub use spec::{
    Codec, Compression, FileOutput, InnerFilter, Limits, Output, Retention, Rotation, Spec,
};
pub use time::{Span, Time};

/// An enum whose values have one name each, in tables and in JSON alike. A value of a newer node
/// that this client does not know is `Unknown`.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $value,)+
            /// A value that this client does not know.
            Unknown,
        }

        impl $name {
            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                    Self::Unknown => "unknown",
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
use named;

/// For serde: the value in its `Display` form, null for `None`.
fn as_text<T: std::fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
