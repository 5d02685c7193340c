//! Errors of starting, changing or ending a capture.

use std::io;

use crate::{attach::AttachError, interfaces::InterfaceError};
use capture_filter::{FilterError, TargetError, kernel::prog_load::LoadError};
use capture_kernel::{counters::CountersError, features::FeaturesError, object::ObjectError};
use capture_pipeline::{drain::DrainGone, recorder::RecorderError};

/// A capture could not be started, changed or ended in order.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// This kernel or this process cannot capture.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The requested interfaces do not exist.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The eBPF object could not be loaded.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The counters in the kernel could not be used.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// The filter does not compile.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The targets could not be stored in their maps.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The kernel rejected the filter's program.
    #[error("the filter cannot be used: {0}")]
    FilterProgram(#[from] LoadError),
    /// The capture has ended.
    #[error("the capture has ended")]
    Ended,
    /// A program could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The files could not be written.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// rtnetlink(7) failed.
    #[error("the kernel could not be asked for its network interfaces: {0}")]
    Netlink(#[from] rtnetlink::Error),
    /// Another system call failed.
    #[error("{doing}: {source}")]
    System {
        /// The operation.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The drain thread is gone.
    #[error(transparent)]
    Drain(#[from] DrainGone),
}
