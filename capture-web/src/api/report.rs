//! Reports. Their content is `capture.report/v1`, which has a schema of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of reports, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reports {
    /// The reports.
    pub reports: Vec<ReportSummary>,
    /// The cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where a report's files came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportSource {
    /// An upload.
    Upload,
    /// A capture.
    Capture,
}

/// A report in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportSummary {
    /// Its id.
    pub id: String,
    /// The name of the uploaded file, or of the capture.
    pub name: String,
    /// Where its files came from.
    pub source: ReportSource,
    /// Who asked for it.
    pub owner: String,
    /// When it was asked for.
    pub created: String,
    /// When it is removed.
    pub expires: String,
    /// Number of files.
    pub files: u32,
    /// Bytes of the files.
    pub bytes: u64,
    /// Packets analysed.
    pub packets: u64,
    /// Whether all of every file was read.
    pub complete: bool,
    /// The health score, from 0 to 100; absent where nothing could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Findings by severity.
    pub findings: FindingCounts,
    /// Whether the packets of a finding can be downloaded: the files are still there.
    pub has_packets: bool,
}

/// Findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingCounts {
    /// Something does not work.
    pub critical: u64,
    /// Users may feel it.
    pub warning: u64,
    /// Worth knowing.
    pub notice: u64,
}

/// Two reports side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The first report.
    pub a: ReportSummary,
    /// The second report.
    pub b: ReportSummary,
    /// What was measured in both or in one.
    pub measures: Vec<Measure>,
    /// Kinds of findings, and how many of each.
    pub findings: Vec<Measure>,
}

/// A number of two reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// What it is, with the unit.
    pub name: String,
    /// In the first report; absent where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<f64>,
    /// In the second report; absent where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
}

/// A link to a report for people without an account. It ends when the report does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The token: `/api/v1/shared/{token}` is the report's summary, `/report` and `/html` below it its content.
    pub token: String,
    /// The page's path for it, `/#/shared/{token}`.
    pub path: String,
    /// When it ends.
    pub expires: String,
}
