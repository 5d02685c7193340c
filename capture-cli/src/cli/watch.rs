//! `capturectl watch`.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _, stdout},
    pin::pin,
    time::Duration,
};

use clap::Args;
use futures_util::{StreamExt as _, future::join_all};
use tokio::sync::mpsc;

use super::{
    Context,
    answers::{OnNode, complain},
    exit::{Error, Exit},
    output::{self, Format},
    tables, values,
};
use capture_client::{
    Client, ClientError, Target,
    model::{Capture, Event, EventKind},
};

/// Follow captures as they change, until Ctrl-C.
///
/// On a terminal a table is kept up to date; otherwise, and with -o json or yaml, there is one line or
/// document for each event.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Only captures with these names, including ones that do not exist yet.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Only captures with this label. Repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::label)]
    labels: Vec<(String, String)>,

    /// How often the counters of running captures are sent.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = capture_types::values::duration)]
    interval: Duration,

    /// Exit when the named captures have ended on every node that has them.
    #[arg(long, requires = "names")]
    until_ended: bool,
}

pub(super) async fn run(context: &Context, arguments: &WatchArgs) -> Result<Exit, Error> {
    let (sender, mut events) = mpsc::channel(64);
    let targets = &context.settings.targets;
    let followers = targets.iter().enumerate().map(|(number, target)| {
        let sender = sender.clone();
        async move {
            let followed = follow(context, target, arguments, number, &sender).await;
            followed.map_or_else(|error| complain(context, target, error), |()| Exit::Done)
        }
    });
    let followers = join_all(followers);
    drop(sender);
    let mut view = View {
        context,
        table: context.format == Format::Table && stdout().is_terminal(),
        known: BTreeMap::new(),
        synced: 0,
        lines: 0,
    };
    let printing = async {
        while let Some((number, event)) = events.recv().await {
            view.show(number, event)?;
            if arguments.until_ended && view.all_ended(&arguments.names) {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let mut printing = pin!(printing);
    tokio::select! {
        exits = followers => {
            printing.await?;
            Ok(exits.into_iter().fold(Exit::Done, Exit::and))
        }
        printed = &mut printing => printed.map(|()| Exit::Done),
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Done).map_err(Error::from),
    }
}

async fn follow(
    context: &Context,
    target: &Target,
    arguments: &WatchArgs,
    number: usize,
    sender: &mpsc::Sender<(usize, Event)>,
) -> Result<(), ClientError> {
    let client = Client::connect(target, &context.settings.call_options(&context.reason)).await?;
    let labels = arguments.labels.iter().cloned().collect();
    let events = client
        .watch(&arguments.names, &labels, Some(arguments.interval))
        .await?;
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        if sender.send((number, event?)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

struct View<'a> {
    context: &'a Context,
    /// Whether a table is kept up to date.
    table: bool,
    known: BTreeMap<(usize, String), Capture>,
    /// Nodes that have sent all their captures.
    synced: usize,
    /// Lines of the table that is on the terminal.
    lines: usize,
}

impl View<'_> {
    fn show(&mut self, number: usize, event: Event) -> Result<(), Error> {
        if event.kind == EventKind::Synced {
            self.synced += 1;
        }
        if let Some(capture) = &event.capture {
            let key = (number, capture.name.clone());
            if event.kind == EventKind::Deleted {
                self.known.remove(&key);
            } else {
                self.known.insert(key, capture.clone());
            }
        }
        if self.table {
            return self.redraw();
        }
        if self.context.format == Format::Table && event.capture.is_none() {
            return Ok(());
        }
        let event = OnNode {
            node: self.node(number),
            value: event,
        };
        output::print_next(self.context.format, &event, || line(&event))
    }

    fn all_ended(&self, names: &[String]) -> bool {
        self.synced == self.context.settings.targets.len()
            && names.iter().all(|name| {
                let mut of_this_name = self.known.iter().filter(|((_, n), _)| n == name);
                of_this_name.all(|(_, capture)| capture.has_ended())
            })
    }

    fn redraw(&mut self) -> Result<(), Error> {
        let captures: Vec<_> = self
            .known
            .iter()
            .map(|((number, _), capture)| OnNode {
                node: self.node(*number),
                value: capture.clone(),
            })
            .collect();
        let mut text = tables::captures(&captures, self.context.several_nodes());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = stdout().lock();
        if self.lines > 0 {
            write!(out, "\x1b[{}A", self.lines)?;
        }
        write!(out, "\r\x1b[J{text}")?;
        out.flush()?;
        self.lines = text.lines().count();
        Ok(())
    }

    fn node(&self, number: usize) -> String {
        self.context.settings.targets[number].label()
    }
}

fn line(event: &OnNode<Event>) -> String {
    let OnNode { node, value } = event;
    let Some(capture) = &value.capture else {
        return String::new();
    };
    format!(
        "{node} {} {} {}: {} packets and {} written, {} lost",
        capture.name,
        value.kind,
        tables::state_text(capture),
        tables::count(capture.ledger.written),
        tables::size(capture.bytes_written),
        tables::count(capture.ledger.lost()),
    )
}
