//! Sends packets into an interface at maximum speed, or at a given rate.

use anyhow::{Context as _, Result};
use capture_tests::{
    frame,
    generator::{Generator, Load},
};
use clap::Parser;
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

/// Injects UDP packets as if they had been received on an interface, by XDP live frames. Intended
/// for interfaces of network namespaces that were created for a test.
#[derive(Debug, Parser)]
struct Arguments {
    /// The interface, in this network namespace
    #[arg(short, long)]
    interface: String,
    /// Length of each packet in bytes, 50 to 3000
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(50..=3000))]
    length: u16,
    /// Number of packets
    #[arg(short, long, default_value_t = 1_000_000)]
    count: u32,
    /// Packets per second [default: maximum speed]
    #[arg(short, long)]
    rate: Option<u64>,
    /// The core to send from
    #[arg(long)]
    cpu: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let ifindex = name_to_index(socket, &arguments.interface)
        .with_context(|| format!("no interface {}", arguments.interface))?;
    let sent = Generator::load()?.send_here(
        ifindex,
        &Load {
            frame: frame::numbered_for_another(0, usize::from(arguments.length)),
            count: arguments.count,
            rate: arguments.rate,
            cpu: arguments.cpu,
        },
    )?;
    println!(
        "{} packets of {} bytes in {:?}: {:.1} ns each, {:.1} ns of work, {:.3} Mpps, {:.2} Gbit/s",
        sent.count,
        arguments.length,
        sent.elapsed,
        sent.nanoseconds_per_packet(),
        sent.work_per_packet(),
        sent.rate() / 1e6,
        sent.rate() * f64::from(arguments.length) * 8.0 / 1e9
    );
    Ok(())
}
