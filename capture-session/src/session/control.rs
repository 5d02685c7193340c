//! Changes to a running capture, requested from any task.

use tokio::sync::{mpsc, oneshot};

use super::error::SessionError;
use crate::filters;
use capture_filter::CompiledFilter;
use capture_types::{FilterSpec, PodSelection, TargetSet};

/// Sent when a command is done.
type Done = oneshot::Sender<Result<(), SessionError>>;

/// The changes that a running capture accepts.
pub(super) enum Command {
    SetFilter(CompiledFilter, Done),
    SetTargets(TargetSet, Done),
    SetPods(PodSelection, Done),
    FinishFile(Done),
}

/// Changes a running capture.
#[derive(Debug, Clone)]
pub struct Control(mpsc::UnboundedSender<Command>);

impl Control {
    /// A control and the session's receiver.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, received) = mpsc::unbounded_channel();
        (Self(commands), received)
    }

    /// Replaces the filter. A packet that both filters match is recorded exactly once.
    ///
    /// # Errors
    ///
    /// The old filter stays in force, unless the kernel fails half-way, which the error says.
    pub async fn set_filter(&self, filter: FilterSpec) -> Result<(), SessionError> {
        let filter = filters::compile(filter).await?;
        self.send(|done| Command::SetFilter(filter, done)).await
    }

    /// Replaces the targets. Packets of targets in both sets are never missed. The programs are
    /// replaced only if hosts or ports are set where none were before, or the reverse.
    ///
    /// # Errors
    ///
    /// The old targets stay in force, unless the kernel fails half-way, which the error says.
    pub async fn set_targets(&self, targets: TargetSet) -> Result<(), SessionError> {
        self.send(|done| Command::SetTargets(targets, done)).await
    }

    /// Replaces the pods of a capture that was started with pods. Only the difference is attached and
    /// detached.
    ///
    /// # Errors
    ///
    /// The capture has ended, or the kernel rejects the addresses.
    pub async fn set_pods(&self, pods: PodSelection) -> Result<(), SessionError> {
        self.send(|done| Command::SetPods(pods, done)).await
    }

    /// Finishes the file that is being written, if it has packets; the next packet begins a new one.
    ///
    /// # Errors
    ///
    /// The capture has ended.
    pub async fn finish_file(&self) -> Result<(), SessionError> {
        self.send(Command::FinishFile).await
    }

    async fn send(&self, command: impl FnOnce(Done) -> Command) -> Result<(), SessionError> {
        let (reply, done) = oneshot::channel();
        let sent = self.0.send(command(reply));
        sent.map_err(|_| SessionError::Ended)?;
        done.await.map_err(|_| SessionError::Ended)?
    }
}
