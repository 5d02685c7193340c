//! The states of a capture and the transitions between them.
//!
//! ```text
//! Pending -> Running -> Stopping -> Completed | Failed | Interrupted
//!    |          |                       ^          ^          ^
//!    |          +-----------------------+----------+----------+
//!    +-> Failed | Interrupted
//! Interrupted -> Pending      resumed by a new daemon, as its time is not over
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Requested, not yet attached.
    Pending,
    /// Attached.
    Running,
    /// No longer attached, or about to be: captured packets are being written.
    Stopping,
    /// Ended as requested: its files are whole and its ledger adds up.
    Completed,
    /// Could not start, or could not continue.
    Failed,
    /// The daemon ended before the capture did.
    Interrupted,
}

/// Why a capture is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody stopped it.
    Requested,
    /// Its duration was over.
    Duration,
    /// It reached its packet limit.
    Packets,
    /// It reached its byte limit.
    Bytes,
    /// Its deadline was reached.
    Deadline,
    /// It could not be started.
    StartFailed,
    /// The file system, or the captures' share of it, was full.
    DiskFull,
    /// Writing failed.
    WriteError,
    /// Its final ledger does not add up.
    Ledger,
    /// The daemon was shut down.
    Shutdown,
    /// The daemon was killed, or crashed.
    Crash,
    /// A bug.
    Internal,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Stopping,
        Self::Completed,
        Self::Failed,
        Self::Interrupted,
    ];

    /// Whether it uses ring memory, and may receive packets.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Stopping)
    }

    /// Whether the transition from this state to `next` is allowed.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (
                Self::Pending,
                Self::Running | Self::Failed | Self::Interrupted
            ) | (Self::Running, Self::Stopping)
                | (
                    Self::Running | Self::Stopping,
                    Self::Completed | Self::Failed | Self::Interrupted,
                )
                | (Self::Interrupted, Self::Pending)
        )
    }
}

impl Reason {
    /// The final state of a capture that ended for this reason.
    #[must_use]
    pub const fn final_state(self) -> State {
        match self {
            Self::Requested | Self::Duration | Self::Packets | Self::Bytes | Self::Deadline => {
                State::Completed
            }
            Self::StartFailed
            | Self::DiskFull
            | Self::WriteError
            | Self::Ledger
            | Self::Internal => State::Failed,
            Self::Shutdown | Self::Crash => State::Interrupted,
        }
    }

    /// The reason in words.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Requested => "it was stopped",
            Self::Duration => "its duration was over",
            Self::Packets => "it reached its packet limit",
            Self::Bytes => "it reached its byte limit",
            Self::Deadline => "its deadline was reached",
            Self::StartFailed => "it could not be started",
            Self::DiskFull => "the disk was full",
            Self::WriteError => "writing failed",
            Self::Ledger => "its ledger does not add up",
            Self::Shutdown => "the daemon was shut down",
            Self::Crash => "the daemon was killed or crashed",
            Self::Internal => "internal error; see the daemon's log",
        }
    }
}

/// As in the API and in metrics.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn nothing_follows_completed_and_failed_and_nothing_becomes_running_twice() {
        for last in [State::Completed, State::Failed] {
            assert!(State::ALL.iter().all(|next| !last.may_become(*next)));
        }
        let before_running: Vec<State> = State::ALL
            .into_iter()
            .filter(|state| state.may_become(State::Running))
            .collect();
        assert_eq!(before_running, [State::Pending]);
        assert!(State::ALL.iter().all(|state| !state.may_become(*state)));
    }

    #[test]
    fn an_active_capture_can_always_end() {
        for state in State::ALL.into_iter().filter(|state| state.is_active()) {
            assert!(state.may_become(State::Failed) && state.may_become(State::Interrupted));
        }
    }
}
