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
    /// Its id, unique for ever.
    pub uid: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it is in that state.
    pub state_reason: Option<StateReason>,
    /// One sentence on that.
    pub message: String,
    /// What it does.
    pub spec: Spec,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was asked for.
    pub create_time: Option<Time>,
    /// When it was attached.
    pub start_time: Option<Time>,
    /// When it had ended.
    pub end_time: Option<Time>,
    /// Who asked for it.
    pub created_by: String,
    /// Why.
    pub reason: String,
    /// The id of the request that started it.
    pub request_id: String,
    /// The ledger of all interfaces.
    pub ledger: PartialLedger,
    /// The ledger of each.
    pub interfaces: Vec<InterfaceLedger>,
    /// What became of each pod.
    pub pods: Vec<PodState>,
    /// Bytes written so far.
    pub bytes_written: u64,
    /// Finished files so far.
    pub files_finished: u64,
    /// The file being written.
    pub current_file: Option<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How often a new daemon took it up again.
    pub resumed: u32,
    /// Changes with spec, labels and state.
    pub generation: u64,
}

impl Capture {
    /// Whether nothing more will come.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(
            self.state,
            State::Completed | State::Failed | State::Interrupted
        )
    }
}

named! {
    /// Where a capture is in its life.
    pub enum State {
        /// Asked for, not yet attached.
        Pending = "pending",
        /// Attached.
        Running = "running",
        /// Being written out.
        Stopping = "stopping",
        /// Ended as asked.
        Completed = "completed",
        /// Could not start or go on.
        Failed = "failed",
        /// The daemon ended first.
        Interrupted = "interrupted",
    }
}

named! {
    /// Why a capture is in its state.
    pub enum StateReason {
        /// A client stopped it.
        Requested = "requested",
        /// Its duration was over.
        Duration = "duration",
        /// It had its packets.
        Packets = "packets",
        /// It had its bytes.
        Bytes = "bytes",
        /// Its deadline came.
        Deadline = "deadline",
        /// It could not be started.
        StartFailed = "start_failed",
        /// The disk was full.
        DiskFull = "disk_full",
        /// Writing failed.
        WriteError = "write_error",
        /// Its ledger did not add up.
        Ledger = "ledger",
        /// The daemon was told to end.
        Shutdown = "shutdown",
        /// The daemon crashed.
        Crash = "crash",
        /// A bug.
        Internal = "internal",
    }
}

/// What a watch tells.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The capture; none in `synced`.
    pub capture: Option<Capture>,
}

named! {
    /// What happened to a capture.
    pub enum EventKind {
        /// It was there when the watch began.
        Present = "present",
        /// All that were there have been told.
        Synced = "synced",
        /// It is new.
        Added = "added",
        /// It changed.
        Changed = "changed",
        /// Its numbers as they are now.
        Ledger = "ledger",
        /// It was deleted.
        Deleted = "deleted",
    }
}
