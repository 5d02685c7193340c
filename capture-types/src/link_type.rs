//! Link types.

use serde::{Deserialize, Serialize};

/// The link type of an interface (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`, 1.
    #[serde(rename = "EN10MB")]
    Ethernet,
    /// `LINKTYPE_RAW`, 101: the packet begins with its IPv4 or IPv6 header.
    #[serde(rename = "RAW")]
    Raw,
}

impl LinkType {
    /// All link types that can be captured.
    pub const ALL: [Self; 2] = [Self::Ethernet, Self::Raw];

    /// Its number in capture files.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
        }
    }
}
