//! Interfaces, directions, snaplen and ring size.

use capture_types::{Directions, InterfacePattern, values};
use clap::{Args, ValueEnum};

/// Interfaces, directions and buffers.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Interface to record: a name, a glob such as 'veth*', or any. Repeatable. Interfaces that appear
    /// later and match are recorded from then on.
    #[arg(short, long = "interface", value_name = "NAME|GLOB|any",
        value_parser = str::parse::<InterfacePattern>)]
    pub interfaces: Vec<InterfacePattern>,

    /// Packets received, sent, or both.
    #[arg(short = 'Q', long, value_enum)]
    pub direction: Option<DirectionArg>,

    /// Do not use promiscuous mode. Without this option, interfaces that are named or match a glob
    /// accept packets for other hosts while the capture runs, and a bridge shows the packets it
    /// forwards.
    #[arg(short = 'p', long)]
    pub no_promiscuous_mode: bool,

    /// Record a packet that passes several interfaces only at the first of them; at the others it is counted
    /// as duplicate.
    #[arg(long)]
    pub each_packet_once: bool,

    /// Keep at most this much of each packet; 0 keeps all of it.
    #[arg(short, long, value_name = "BYTES", value_parser = values::snaplen)]
    pub snaplen: Option<u32>,

    /// Size of the ring buffer between kernel and recorder, rounded up to a power of two. Above 2MiB a
    /// second ring of 2MiB is added, which stays in the CPU's caches.
    #[arg(short = 'B', long, value_name = "SIZE", value_parser = values::ring_size)]
    pub ring_size: Option<u32>,
}

/// [`Directions`] by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DirectionArg {
    /// Packets received.
    In,
    /// Packets sent.
    Out,
    /// Both.
    Inout,
}

impl From<DirectionArg> for Directions {
    fn from(argument: DirectionArg) -> Self {
        match argument {
            DirectionArg::In => Self::In,
            DirectionArg::Out => Self::Out,
            DirectionArg::Inout => Self::InOut,
        }
    }
}
