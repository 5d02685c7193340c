//! Findings: what is conspicuous, with the frames that prove it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::End;
pub use super::evidence::{Evidence, FrameReference};

/// Its severity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Users may feel it.
    Warning,
    /// Something does not work.
    Critical,
}

/// Its certainty.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It may be something else.
    Possible,
    /// It is rarely something else.
    Likely,
    /// The frames leave no other reading.
    Certain,
}

/// The flow a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowReference {
    /// Its number; absent where the finding is about more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<u64>,
    /// Both ends, readable.
    pub name: String,
    /// The end that opened it, or the one host that the finding is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<End>,
    /// The other end, or the server that the finding is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<End>,
}

impl FlowReference {
    /// A host, whomever it speaks with.
    #[must_use]
    pub fn host(address: std::net::IpAddr) -> Self {
        Self {
            flow: None,
            name: address.to_string(),
            client: Some(End {
                address: address.to_string(),
                port: None,
            }),
            server: None,
        }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Its identifier in this report: the kind and a number.
    pub id: String,
    /// Its kind; the same in all reports.
    pub kind: String,
    /// Its severity.
    pub severity: Severity,
    /// Its certainty.
    pub certainty: Certainty,
    /// What was found, in one line.
    pub title: String,
    /// What it means.
    pub meaning: String,
    /// What to look at next.
    pub next: String,
    /// The flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowReference>,
    /// The frames that prove it.
    pub evidence: Evidence,
    /// The Wireshark display filter that shows them.
    pub filter: String,
    /// What was measured and the threshold it passed, with the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// Whether packets that the recorder lost could explain it; absent where they could not, or where no
    /// file says what was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder_loss: Option<String>,
}
