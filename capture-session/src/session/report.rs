//! The result of a capture: its ledger, its files and the reason why it ended.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::monitor::{InterfaceReport, Monitor, total};
use capture_file::manifest::FileEntry;
use capture_pipeline::{FailureKind, recorder::Finished};
use capture_types::{CaptureSpec, Ledger};

/// Why a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It was stopped.
    Stopped,
    /// Its duration was over.
    Duration,
    /// It reached its packet limit.
    Packets,
    /// Something failed; the report says what.
    Failed,
}

/// The result of a capture.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The capture's name.
    pub name: String,
    /// Why it ended.
    pub reason: EndReason,
    /// What failed, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The kind of failure, if writing failed.
    #[serde(skip)]
    pub failure_kind: Option<FailureKind>,
    /// All interfaces together.
    pub total: Ledger,
    /// In the order in which they joined.
    pub interfaces: Vec<InterfaceReport>,
    /// Warnings besides the ledger, in sentences.
    pub warnings: Vec<String>,
    /// The directory of the files.
    pub directory: PathBuf,
    /// The finished files that still exist, in order.
    pub files: Vec<FileEntry>,
}

impl Report {
    pub(super) fn new(
        spec: &CaptureSpec,
        reason: EndReason,
        monitor: &Monitor,
        finished: Finished,
    ) -> Self {
        let interfaces = monitor.with(&finished.interfaces);
        let total = total(&interfaces);
        let failure_kind = finished.failure.as_ref().map(|failure| failure.kind);
        let failure = finished
            .failure
            .map(|failure| failure.message)
            .or_else(|| total.check().err().map(|imbalance| imbalance.to_string()));
        Self {
            name: spec.name.to_string(),
            reason: if failure.is_some() {
                EndReason::Failed
            } else {
                reason
            },
            failure,
            failure_kind,
            total,
            interfaces,
            warnings: monitor.warnings(),
            directory: spec
                .output
                .directory()
                .map(Path::to_owned)
                .unwrap_or_default(),
            files: finished.files.into_iter().map(|file| file.entry).collect(),
        }
    }
}
