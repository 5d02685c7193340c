//! A capture on one node.

use std::collections::BTreeMap;

use capture_types::PartialLedger;
use serde::Serialize;

use super::{InterfaceLedger, PodState, Spec, Time, named};

/// A capture, running or ended.
#[derive(Debug, Clone, Serialize)]
pub struct Capture {
    /// Its name, unique on the node.
    pub name: String,
    /// Its id, unique for all time.
    pub uid: String,
    /// Its state.
    pub state: State,
    /// Why it is in that state.
    pub state_reason: Option<StateReason>,
    /// The reason in one sentence.
    pub message: String,
    /// What it records.
    pub spec: Spec,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was requested.
    pub create_time: Option<Time>,
    /// When it was attached.
    pub start_time: Option<Time>,
    /// When it ended.
    pub end_time: Option<Time>,
    /// Who requested it.
    pub created_by: String,
    /// The client's reason.
    pub reason: String,
    /// The id of the request that started it.
    pub request_id: String,
    /// The ledger of all interfaces.
    pub ledger: PartialLedger,
    /// The ledger of each interface.
    pub interfaces: Vec<InterfaceLedger>,
    /// The state of each pod.
    pub pods: Vec<PodState>,
    /// Bytes written so far.
    pub bytes_written: u64,
    /// Finished files so far.
    pub files_finished: u64,
    /// The file being written.
    pub current_file: Option<String>,
    /// Problems that did not end it.
    pub warnings: Vec<String>,
    /// How often a new daemon has resumed it.
    pub resumed: u32,
    /// Incremented with changes of spec, labels and state.
    pub generation: u64,
    /// What each sink of `spec.export` has of its files.
    pub export: Vec<ExportState>,
}

/// What a sink of the exporter has of a capture's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExportState {
    /// The name of the sink.
    pub sink: String,
    /// Files that it has acknowledged, including those removed since.
    pub delivered_files: u64,
    /// Files that wait for it.
    pub waiting_files: u64,
    /// Files that were put aside.
    pub aside_files: u64,
    /// Files that were removed before they were delivered.
    pub missed_files: u64,
    /// Why nothing is delivered at present.
    pub message: String,
}

impl Capture {
    /// Whether it is in a final state.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(
            self.state,
            State::Completed | State::Failed | State::Interrupted
        )
    }
}

named! {
    /// The state of a capture.
    pub enum State {
        /// Requested, not yet attached.
        Pending = "pending",
        /// Attached.
        Running = "running",
        /// The remaining packets are being written.
        Stopping = "stopping",
        /// Ended as requested.
        Completed = "completed",
        /// Could not start or continue.
        Failed = "failed",
        /// The daemon ended before the capture.
        Interrupted = "interrupted",
    }
}

named! {
    /// Why a capture is in its state.
    pub enum StateReason {
        /// A client stopped it.
        Requested = "requested",
        /// It reached its duration limit.
        Duration = "duration",
        /// It reached its packet limit.
        Packets = "packets",
        /// It reached its byte limit.
        Bytes = "bytes",
        /// It reached its deadline.
        Deadline = "deadline",
        /// It could not be started.
        StartFailed = "start_failed",
        /// The disk was full.
        DiskFull = "disk_full",
        /// Writing failed.
        WriteError = "write_error",
        /// Its ledger did not add up.
        Ledger = "ledger",
        /// The daemon was shut down.
        Shutdown = "shutdown",
        /// The daemon crashed.
        Crash = "crash",
        /// A bug.
        Internal = "internal",
    }
}

/// An event of a watch.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The capture; `None` in `synced`.
    pub capture: Option<Capture>,
}

named! {
    /// What happened to a capture.
    pub enum EventKind {
        /// It existed when the watch began.
        Present = "present",
        /// All existing captures have been sent.
        Synced = "synced",
        /// It is new.
        Added = "added",
        /// It changed.
        Changed = "changed",
        /// Its current counts.
        Ledger = "ledger",
        /// It was deleted.
        Deleted = "deleted",
    }
}
