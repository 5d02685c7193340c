//! The ledger of one interface.

use capture_types::PartialLedger;
use serde::Serialize;

/// The ledger of one interface. `None` (null in JSON) means "unknown", never 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceLedger {
    /// The interface's name when it joined.
    pub interface: String,
    /// Its index when it joined.
    pub ifindex: u32,
    /// The number of its link type.
    pub link_type: u32,
    /// The ledger of its packets.
    pub ledger: PartialLedger,
}
