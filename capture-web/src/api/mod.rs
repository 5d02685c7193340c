//! The types of the HTTP API, version 1, and its OpenAPI document. They know neither the server nor what is
//! behind it. Times are RFC 3339 in UTC; what is not known is absent, never 0.

mod live;
pub mod openapi;
mod problem;
mod queue;
mod report;
mod session;
mod task;

pub use live::{
    Answer, Capture, CaptureChange, CaptureEvent, CaptureEventKind, CaptureFile, CaptureStart,
    Captures, Discarded, ExpressionCheck, ExpressionVerdict, FileListing, InterfaceLedger, Ledger,
    Limits, NetworkInterface, Node, NodeAnswers, NodeFacts, NodeFiles, Nodes, PodSelector,
    Recording,
};
pub use problem::Problem;
pub use queue::{Health, Queue};
pub use report::{Comparison, FindingCounts, Measure, ReportSource, ReportSummary, Reports, Share};
pub use session::{Authentication, Credentials, Live, LiveMode, Role, Session, UploadLimits};
pub use task::{Accepted, Task, TaskState};
