//! The report: what one pass over the files found, as plain data. `docs/capture.report.v1.schema.json` is
//! generated from these types. What was not measured is absent, never 0.

pub mod compare;
mod conversations;
mod evidence;
mod finding;
mod health;
mod inventory;
mod protocols;
mod score;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use conversations::{Conversation, Conversations, End, FlowRates, Talker, TcpFacts};
pub(crate) use evidence::Keeping;
pub use finding::{Certainty, Evidence, Finding, FlowReference, FrameReference, Severity};
pub use health::{Health, Term};
pub use inventory::{
    FileSummary, InterfaceSummary, Inventory, LinkTypeCount, LossSpan, ProtocolNode, Rates,
    RecorderLoss, SizeCount,
};
pub use protocols::{
    ArpSummary, DhcpSummary, DnsRow, DnsSummary, Exchange, HttpRow, HttpSummary, IcmpCount,
    IpSummary, RtpStream, TcpSummary, TlsRow, TlsSummary, UdpSummary,
};

/// The name and version of the report's form.
pub const SCHEMA: &str = "capture.report/v1";

/// The analysis of capture files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// `capture.report/v1`.
    pub schema: String,
    /// The program and its version.
    pub generator: String,
    /// Whether all of every file was read.
    pub complete: bool,
    /// The files, in the order in which they were read.
    pub files: Vec<FileSummary>,
    /// Totals over all files.
    pub inventory: Inventory,
    /// The interfaces the packets were captured at.
    pub interfaces: Vec<InterfaceSummary>,
    /// Names that the files give addresses, such as pods and nodes (pcapng's Name Resolution Block).
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub names: std::collections::BTreeMap<String, String>,
    /// Packets lost by the recorder itself; absent where no file states them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder: Option<RecorderLoss>,
    /// The health score and how it came about.
    pub health: Health,
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
    /// The protocol hierarchy.
    pub protocols: Vec<ProtocolNode>,
    /// Counters over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// Conversations between hosts.
    pub conversations: Conversations,
    /// Fragments, TTLs and congestion marks.
    pub ip: IpSummary,
    /// TCP over all connections.
    pub tcp: TcpSummary,
    /// UDP over all flows.
    pub udp: UdpSummary,
    /// ICMP messages by kind.
    pub icmp: Vec<IcmpCount>,
    /// DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSummary>,
    /// TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    /// HTTP/1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSummary>,
    /// ARP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp: Option<ArpSummary>,
    /// DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<DhcpSummary>,
    /// Notes on this report: bounds that were reached, parts that could not be read.
    pub notes: Vec<String>,
}

/// The JSON Schema of [`Report`], as text.
///
/// # Errors
/// It cannot be written as JSON.
pub fn schema() -> Result<String, serde_json::Error> {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("$id".to_owned(), SCHEMA.into());
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}
