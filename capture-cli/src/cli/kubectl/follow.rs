//! Packets of a capture on all its nodes, onto the standard output.

use std::{
    io::{self, IsTerminal as _, Write, stdout},
    os::fd::AsFd as _,
    pin::pin,
    time::Duration,
};

use capture_args::console::{plain, tell};
use capture_client::{
    cluster::{ClusterClient, ClusterEvent},
    model::StreamEvent,
};
use clap::Args;
use futures_util::StreamExt as _;
use tokio::time::interval;

use crate::{
    cli::exit::{Error, Exit},
    live::{self, Live},
};

/// How packets are shown.
#[derive(Debug, Clone, Args)]
pub(super) struct FollowArgs {
    /// Lines in the manner of tcpdump, times in UTC; a terminal gets them anyway.
    #[arg(long)]
    text: bool,
    /// At most this much of each packet; 0 is all of it.
    #[arg(short, long, value_name = "BYTES", value_parser = capture_types::values::snaplen)]
    snaplen: Option<u32>,
    /// End after so many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = capture_types::values::at_least_one)]
    pub(super) max_packets: Option<u64>,
}

/// Shows packets until the capture has ended everywhere, there are enough, or nobody reads them any more.
pub(super) async fn follow(
    client: &ClusterClient,
    name: &str,
    filter: &str,
    arguments: &FollowArgs,
) -> Result<Exit, Error> {
    let out = io::BufWriter::with_capacity(64 << 10, stdout());
    let nodes = vec![String::new()];
    let mut live = if arguments.text || stdout().is_terminal() {
        Live::text(out, nodes)
    } else {
        Live::pcapng(out, nodes, &format!("capture {name}"))?
    };
    let snaplen = arguments.snaplen.filter(|bytes| *bytes > 0);
    let events = client.stream_packets(name, filter, snaplen).await?;
    let mut events = pin!(events);
    let mut looks = interval(Duration::from_secs(1));
    let most = arguments.max_packets.unwrap_or(u64::MAX);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(Exit::Done),
                Some(event) => {
                    show(event?, &mut live, most)?;
                    live.flush()?;
                    if live.packets() >= most {
                        return Ok(Exit::Done);
                    }
                }
            },
            _ = looks.tick() => if live::is_closed(stdout().as_fd()) {
                return Err(Error::OutputClosed);
            },
        }
    }
}

fn show<W: Write>(event: ClusterEvent, live: &mut Live<W>, most: u64) -> Result<(), Error> {
    let (node, event) = match event {
        ClusterEvent::Stream { node, event } => (plain(&node), event),
        ClusterEvent::Lost { node, problem } => {
            tell(format_args!("{node}: {problem}"));
            return Ok(());
        }
    };
    match event {
        StreamEvent::Interface(mut interface) => {
            interface.name = format!("{node}:{}", interface.name);
            live.interface(0, interface)?;
        }
        StreamEvent::Names(names) => live.names(names)?,
        StreamEvent::Packets(packets) => {
            for packet in packets {
                if live.packets() < most {
                    live.packet(0, &packet)?;
                }
            }
        }
        StreamEvent::Missed { packets, total } => tell(format_args!(
            "{node}: too slow for {packets} packets, {total} so far; the capture has them"
        )),
        StreamEvent::Ended(capture) => {
            tell(format_args!(
                "{node}: the capture has ended: {}",
                capture.message
            ));
        }
    }
    Ok(())
}
