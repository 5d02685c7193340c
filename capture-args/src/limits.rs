//! When a capture stops by itself.

use std::time::Duration;

use capture_types::values;
use clap::Args;

/// Limits of a capture.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Stop after this time.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Stop after this many packets; exactly this many are written.
    #[arg(short = 'c', long, value_name = "N", value_parser = values::at_least_one)]
    pub max_packets: Option<u64>,
}
