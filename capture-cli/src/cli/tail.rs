//! `capturectl tail`.

use std::{
    io::{self, IsTerminal as _, Write, stdout},
    os::fd::AsFd as _,
    pin::pin,
    time::{Duration, Instant},
};

use capture_args::console::tell;
use clap::Args;
use futures_util::{StreamExt as _, future::join_all};
use tokio::{
    sync::mpsc,
    time::{interval, sleep_until},
};

use super::{
    Context,
    answers::complain,
    exit::{Error, Exit},
    tables, values,
};
use crate::live::{self, Live};
use capture_client::{
    Client, ClientError, Target,
    model::{Packet, StreamEvent},
    reorder::ReorderBuffer,
};

/// Show the packets of a running capture live, from every node, until it ends or Ctrl-C.
///
/// The output is pcapng on pipes and files, and lines on a terminal. Packets from several nodes are merged by timestamp,
/// delayed by half a second. The capture is never slowed down: packets that this reader is too slow for are
/// skipped and reported on stderr; the capture's files have them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailArgs {
    /// Name of the capture.
    pub(super) name: String,

    /// Lines as tcpdump prints them, times in UTC.
    #[arg(long)]
    text: bool,

    /// Only packets that also match this expression.
    #[arg(
        long,
        value_name = "EXPRESSION",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) filter: String,

    /// At most this many bytes of each packet; 0 means all.
    #[arg(short, long, value_name = "BYTES", value_parser = capture_types::values::snaplen)]
    pub(super) snaplen: Option<u32>,

    /// Exit after this many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = capture_types::values::at_least_one)]
    max_packets: Option<u64>,

    /// Size of the node's buffer for this reader.
    #[arg(long, value_name = "SIZE", value_parser = values::small_size)]
    buffer: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  capturectl tail web | wireshark -k -i -
  capturectl tail web --text --filter 'tcp[tcpflags] & tcp-syn != 0'
  capturectl --node a:9443 --node b:9443 tail web | tshark -r -";

pub(super) async fn run(context: &Context, arguments: &TailArgs) -> Result<Exit, Error> {
    let nodes = context.labels();
    let out = io::BufWriter::with_capacity(64 << 10, stdout());
    let mut live = if arguments.text || stdout().is_terminal() {
        Live::text(out, nodes)
    } else {
        let comment = format!("capture {} of {}", arguments.name, nodes.join(", "));
        Live::pcapng(out, nodes, &comment)?
    };
    let look_on = look_on(context, arguments, &mut live, || {
        live::is_closed(stdout().as_fd())
    });
    tokio::select! {
        exit = look_on => exit,
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Done).map_err(Error::from),
    }
}

/// Writes the packets of every node as they arrive, until the capture has ended everywhere, there are
/// as many as were asked for, or nobody reads them any more.
pub(super) async fn look_on<W: Write>(
    context: &Context,
    arguments: &TailArgs,
    live: &mut Live<W>,
    is_closed: impl Fn() -> bool,
) -> Result<Exit, Error> {
    let (sender, mut events) = mpsc::channel(16);
    let targets = &context.settings.targets;
    let readers = targets.iter().enumerate().map(|(number, target)| {
        let sender = sender.clone();
        async move {
            let read = read(context, target, arguments, number, &sender).await;
            read.map_or_else(|error| complain(context, target, error), |()| Exit::Done)
        }
    });
    let mut readers = pin!(join_all(readers));
    drop(sender);
    let mut exit = None;
    let mut looks = interval(Duration::from_secs(1));
    // One node sends its packets in their order.
    let mut order = (targets.len() > 1).then(ReorderBuffer::default);
    let most = arguments.max_packets.unwrap_or(u64::MAX);
    loop {
        let due = order.as_ref().and_then(ReorderBuffer::due);
        tokio::select! {
            biased;
            event = events.recv() => match event {
                None => {
                    if let Some(order) = &mut order {
                        while let Some((node, packet)) = order.rest() {
                            show_packet(node, &packet, live, most)?;
                        }
                        live.flush()?;
                    }
                    if let Some(exit) = exit {
                        return Ok(exit);
                    }
                    let exits = (&mut readers).await;
                    return Ok(exits.into_iter().fold(Exit::Done, Exit::and));
                }
                Some((node, event)) => {
                    show(context, node, event, live, most, order.as_mut())?;
                    if let Some(order) = &mut order {
                        show_ripe(order, live, most)?;
                    }
                    if live.packets() >= most {
                        live.flush()?;
                        return Ok(Exit::Done);
                    }
                    if events.is_empty() {
                        live.flush()?;
                    }
                }
            },
            exits = &mut readers, if exit.is_none() => {
                exit = Some(exits.into_iter().fold(Exit::Done, Exit::and));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                if let Some(order) = &mut order {
                    show_ripe(order, live, most)?;
                }
                live.flush()?;
                if live.packets() >= most {
                    return Ok(Exit::Done);
                }
            }
            _ = looks.tick() => if is_closed() {
                return Err(Error::OutputClosed);
            },
        }
    }
}

async fn read(
    context: &Context,
    target: &Target,
    arguments: &TailArgs,
    number: usize,
    sender: &mpsc::Sender<(usize, StreamEvent)>,
) -> Result<(), ClientError> {
    let client = Client::connect(target, &context.settings.call_options(&context.reason)).await?;
    let packets = client
        .stream_packets(
            &arguments.name,
            &arguments.filter,
            arguments.snaplen.filter(|bytes| *bytes > 0),
            arguments.buffer,
        )
        .await?;
    let mut packets = pin!(packets);
    while let Some(event) = packets.next().await {
        let event = event?;
        let is_last = matches!(event, StreamEvent::Ended(_));
        if sender.send((number, event)).await.is_err() || is_last {
            return Ok(());
        }
    }
    Err(ClientError::Broken(
        "the node stopped sending before the capture ended".to_owned(),
    ))
}

fn show<W: Write>(
    context: &Context,
    node: usize,
    event: StreamEvent,
    live: &mut Live<W>,
    most: u64,
    order: Option<&mut ReorderBuffer>,
) -> Result<(), Error> {
    let label = || context.settings.targets[node].label();
    match event {
        StreamEvent::Interface(interface) => live.interface(node, interface)?,
        StreamEvent::Names(names) => live.names(names)?,
        StreamEvent::Packets(packets) => match order {
            Some(order) => order.add(node, packets, Instant::now()),
            None => {
                for packet in packets {
                    show_packet(node, &packet, live, most)?;
                }
            }
        },
        StreamEvent::Missed { packets, total } => tell(format_args!(
            "{}: too slow for {packets} packets, {total} so far; the capture has them",
            label()
        )),
        StreamEvent::Ended(capture) => tell(format_args!(
            "{}: capture {} has ended: {}",
            label(),
            capture.name,
            tables::state_text(&capture)
        )),
    }
    Ok(())
}

fn show_packet<W: Write>(
    node: usize,
    packet: &Packet,
    live: &mut Live<W>,
    most: u64,
) -> Result<(), Error> {
    if live.packets() < most {
        live.packet(node, packet)?;
    }
    Ok(())
}

fn show_ripe<W: Write>(
    order: &mut ReorderBuffer,
    live: &mut Live<W>,
    most: u64,
) -> Result<(), Error> {
    let now = Instant::now();
    while let Some((node, packet)) = order.next(now) {
        show_packet(node, &packet, live, most)?;
    }
    Ok(())
}

impl Context {
    /// The names of the nodes.
    pub(super) fn labels(&self) -> Vec<String> {
        self.settings.targets.iter().map(Target::label).collect()
    }
}

impl TailArgs {
    /// To look on at a capture with a filter and all else as usual.
    pub(super) const fn of(name: String, filter: String) -> Self {
        Self {
            name,
            text: false,
            filter,
            snaplen: None,
            max_packets: None,
            buffer: None,
        }
    }
}
