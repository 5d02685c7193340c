//! The properties of a capture: as saved on disk, and as shown at one moment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    export::ExportState,
    request::CaptureRequest,
    state::{Reason, State},
    totals::Totals,
};
use capture_file::{Baseline, FileTotals};
use capture_types::{CaptureName, PodState, time};

/// The properties of a capture, as saved on disk. Times are UTC nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: CaptureName,
    /// Distinguishes the capture from others of the same name.
    pub uid: String,
    /// The request.
    #[serde(alias = "order")]
    pub request: CaptureRequest,
    /// Its state.
    pub state: State,
    /// Why it is in this state.
    pub state_reason: Option<Reason>,
    /// The reason in words.
    pub message: String,
    /// When it was requested.
    pub created: u64,
    /// When it was first attached.
    pub started: Option<u64>,
    /// When it ended and everything was on disk.
    pub ended: Option<u64>,
    /// Its totals: counts of packets, bytes and files.
    #[serde(alias = "tally")]
    pub totals: Totals,
    /// Problems that did not end it.
    pub warnings: Vec<String>,
    /// How often a new daemon has resumed it.
    pub resumed: u32,
    /// Incremented when state, request or labels change.
    pub generation: u64,
    /// The states of the pods that it was to capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodState>,
    /// The start of the running session, if it writes files.
    #[serde(default)]
    pub session: Option<SessionStart>,
    /// When the counts were last saved.
    #[serde(default)]
    pub saved: Option<u64>,
    /// Whether its daemon died, and its counts have not been compared with its files yet.
    #[serde(default)]
    pub unsettled: bool,
    /// From when on no daemon captured; told in a warning when the capture runs again.
    #[serde(skip)]
    pub away: Option<Away>,
}

/// From when on no daemon captured, UTC nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// The daemon ended then.
    Since(u64),
    /// The daemon died, and had saved the counts last then.
    AtLatestSince(u64),
}

impl Away {
    /// What is not known of packets until `now`, UTC nanoseconds.
    #[must_use]
    pub fn until(self, now: u64) -> String {
        let (most, since) = match self {
            Self::Since(since) => ("", since),
            Self::AtLatestSince(since) => ("at most ", since),
        };
        let seconds = now.saturating_sub(since) as f64 / 1e9;
        format!(
            "no daemon ran for {most}{seconds:.1} s between {} and {}: packets of that time are in no \
             count and in no file",
            time::rfc3339(since),
            time::rfc3339(now)
        )
    }
}

/// State at the start of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStart {
    /// What the earlier sessions had written.
    pub before: FileTotals,
    /// The directory's content.
    pub begun: Baseline,
}

/// A capture at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its record, with current counts.
    pub record: Record,
    /// The file being written.
    pub current_file: Option<String>,
    /// What the sinks that it names have of its files.
    pub export: Arc<[ExportState]>,
}

/// The counts of a capture at one moment, without properties that seldom change and may be large.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Its name.
    pub name: CaptureName,
    /// Its uid.
    pub uid: String,
    /// Its state.
    pub state: State,
    /// Its generation.
    pub generation: u64,
    /// Its totals.
    pub totals: Totals,
    /// The file being written.
    pub current_file: Option<String>,
    /// How many warnings it has.
    pub warnings: u64,
}
