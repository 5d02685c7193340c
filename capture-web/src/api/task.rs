//! Analyses: waiting, running and ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Its files are arriving.
    Uploading,
    /// It waits for a worker.
    Queued,
    /// A worker analyses its files.
    Running,
    /// Its report is ready.
    Done,
    /// It has ended without a report; `problem` says why.
    Failed,
}

/// An analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its id, which is also the id of its report.
    pub id: String,
    /// Its state.
    pub state: TaskState,
    /// The name of the uploaded file, or of the capture.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was created.
    pub created: String,
    /// Tasks that run before this one; absent unless it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Share of the bytes that was analysed, from 0 to 100.
    pub percent: f64,
    /// Packets analysed so far.
    pub packets: u64,
    /// How often a worker began with it. More than once: an earlier worker was lost.
    pub attempts: u32,
    /// The id of the report, once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The task's id.
    pub task_id: String,
    /// The task.
    pub task: Task,
}
