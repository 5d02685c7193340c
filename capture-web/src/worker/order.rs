//! What the server and a worker say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::FindingCounts;

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The files to read.
    pub inputs: Vec<PathBuf>,
    /// Their names, as users know them.
    pub names: Vec<String>,
    /// The directory to write to.
    pub output: PathBuf,
    /// What to do with the files.
    pub work: Work,
    /// Bounds of the process and of what it reads.
    pub bounds: Bounds,
}

/// What to do with files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Write a report.
    Analyse {
        /// The key of pseudonyms, if addresses and names are to be replaced.
        redaction_key: Option<String>,
    },
    /// Write the frames that prove a finding to `packets.pcapng`.
    Extract {
        /// The finding's id.
        finding: String,
    },
    /// Write all packets by time to `packets.pcapng`.
    Merge,
}

/// Bounds of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of processor time.
    pub cpu_seconds: u64,
    /// Bytes of each file that it writes.
    pub file_bytes: u64,
    /// Bytes that the files may unpack to.
    pub unpacked_bytes: u64,
    /// Bytes for each compressed byte.
    pub ratio: u64,
    /// Packets.
    pub packets: u64,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How far it is.
    Progress {
        /// Packets read.
        packets: u64,
        /// Bytes read of the files on disk.
        bytes: u64,
    },
    /// The output is complete.
    Done(Summary),
    /// There is no output.
    Failed(Failure),
}

/// The result of a piece of work.
pub(super) type Worked = Result<Summary, Failure>;

/// What a report says in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Packets analysed, extracted or merged.
    pub packets: u64,
    /// Whether all of every file was read.
    pub complete: bool,
    /// The health score.
    pub score: Option<f64>,
    /// Findings by severity.
    pub findings: FindingCounts,
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong.
    pub detail: String,
    /// What to do.
    pub fix: Option<String>,
}

impl Failure {
    /// A failure with its way out.
    #[must_use]
    pub fn new(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
}
