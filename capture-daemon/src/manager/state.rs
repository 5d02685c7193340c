//! The life of a capture, in one place.
//!
//! ```text
//! Pending -> Running -> Stopping -> Completed | Failed | Interrupted
//!    |          |                       ^          ^          ^
//!    |          +-----------------------+----------+----------+
//!    +-> Failed | Interrupted
//! Interrupted -> Pending      a new daemon takes it up again, as its time is not over
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a capture is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Asked for, not yet attached.
    Pending,
    /// Attached.
    Running,
    /// No longer attached, or about to be: what was captured is being written out.
    Stopping,
    /// Ended as asked: its files are whole and its ledger adds up.
    Completed,
    /// Could not start, or could not go on.
    Failed,
    /// The daemon ended before the capture did.
    Interrupted,
}

/// Why a capture is in the state that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody stopped it.
    Requested,
    /// Its duration was over.
    Duration,
    /// It had its packets.
    Packets,
    /// It had its bytes.
    Bytes,
    /// Its deadline came.
    Deadline,
    /// It could not be started.
    StartFailed,
    /// The file system, or the captures' share of it, was full.
    DiskFull,
    /// Writing failed.
    WriteError,
    /// Its ledger did not add up in the end.
    Ledger,
    /// The daemon was told to end.
    Shutdown,
    /// The daemon was killed, or crashed.
    Crash,
    /// A bug.
    Internal,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Stopping,
        Self::Completed,
        Self::Failed,
        Self::Interrupted,
    ];

    /// It takes ring memory, and may take packets.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Stopping)
    }

    /// Whether a capture in this state can get into that one.
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
    /// The state that a capture is in once it has ended for this reason.
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

    /// A sentence for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Requested => "it was stopped",
            Self::Duration => "its duration was over",
            Self::Packets => "it had its packets",
            Self::Bytes => "it had its bytes",
            Self::Deadline => "its deadline came",
            Self::StartFailed => "it could not be started",
            Self::DiskFull => "the disk was full",
            Self::WriteError => "writing failed",
            Self::Ledger => "its ledger does not add up",
            Self::Shutdown => "the daemon was told to end",
            Self::Crash => "the daemon was killed or crashed",
            Self::Internal => "a part of the daemon failed; the log has more",
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
