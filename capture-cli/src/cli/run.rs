//! `capturectl run`.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::PathBuf,
    time::{Duration, Instant},
};

use capture_args::console::tell;
use clap::Args;
use futures_util::{StreamExt as _, future::select_all};
use serde::Serialize;

use super::{
    Context,
    answers::{Answers, OnNode, ask},
    daemon::OwnDaemon,
    exit::{Error, Exit},
    output,
    spec::SpecArgs,
    start, tables,
};
use capture_client::{
    Client, ClientError, Target,
    model::{Capture, EventKind, File, State},
};

/// Start a capture, follow it, and stop it on Ctrl-C; then show its ledger and its files.
///
/// A second Ctrl-C exits at once, while the capture is still being stopped.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Name of the capture, with which its files begin.
    #[arg(long, default_value = "capture")]
    name: String,

    #[command(flatten)]
    spec: SpecArgs,

    /// First remove an ended capture of this name; its files are kept.
    #[arg(long)]
    replace: bool,

    /// Start this `captured` on this machine for this capture, and stop it afterwards.
    #[arg(long, value_name = "PROGRAM")]
    daemon: Option<PathBuf>,

    /// Where that daemon stores the files, in a directory named after the capture.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "captures",
        requires = "daemon"
    )]
    data_dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  capturectl run -i eth0 'tcp port 443'
  capturectl run --name incident --duration 60s -o json";

/// The summary of `run`.
#[derive(Debug, Serialize)]
struct Summary {
    captures: Vec<OnNode<Capture>>,
    files: Vec<OnNode<File>>,
}

pub(super) async fn run(context: &Context, arguments: RunArgs) -> Result<Exit, Error> {
    let Some(program) = &arguments.daemon else {
        return record(context, &arguments).await;
    };
    let daemon = OwnDaemon::start(program, &arguments.data_dir).await?;
    let mut context = context.clone();
    context.settings.targets = vec![daemon.target()];
    let outcome = record(&context, &arguments).await;
    daemon.end().await?;
    outcome
}

async fn record(context: &Context, arguments: &RunArgs) -> Result<Exit, Error> {
    let spec = arguments.spec.spec()?;
    let name = arguments.name.as_str();
    if arguments.replace {
        let options = context.settings.call_options(&context.reason);
        let asked = ask(context, &options, async |client, _| {
            match client.delete(name, false, true).await {
                // The start says what is wrong with a name that is taken.
                Ok(_) | Err(ClientError::NotFound(_) | ClientError::Refused { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        });
        let exit = asked.await.exit;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    let started = start::start(context, name, &spec, &Default::default(), false).await?;
    let mut exit = started.exit;
    if started.answers.is_empty() {
        return Ok(exit);
    }
    for OnNode { node, value } in &started.answers {
        for warning in &value.warnings {
            tell(format_args!("{node}: {warning}"));
        }
        let on = start::interfaces(value);
        tell(format_args!("recording {on} on {node}; Ctrl-C stops"));
    }
    let followed = follow(context, name, &started.answers);
    tokio::select! {
        ended = followed => exit = exit.and(ended),
        interrupt = tokio::signal::ctrl_c() => interrupt?,
    }
    clear_line();
    tokio::select! {
        stopped = stop(context, name, &started.answers) => Ok(exit.and(stopped?)),
        interrupt = tokio::signal::ctrl_c() => {
            interrupt?;
            Err(Error::Failed(format!("capture {name} is still being stopped")))
        }
    }
}

/// Stops the capture where it was started, and shows its ledger and files.
async fn stop(context: &Context, name: &str, started: &[OnNode<Capture>]) -> Result<Exit, Error> {
    let options = context.settings.patient_call_options(&context.reason);
    let there = |target: &Target| started.iter().any(|answer| answer.node == target.label());
    let asked = ask(context, &options, async |client, target| {
        if !there(target) {
            return Ok(None);
        }
        let capture = client.stop(name, false).await?;
        Ok(Some((capture, client.files(name).await?.files)))
    });
    let Answers { answers, mut exit } = asked.await;
    let mut summary = Summary {
        captures: Vec::new(),
        files: Vec::new(),
    };
    for OnNode { node, value } in answers {
        let Some((capture, files)) = value else {
            continue;
        };
        if capture.state != State::Completed {
            exit = exit.and(Exit::Failed);
        }
        let files = files.into_iter().map(|value| OnNode {
            node: node.clone(),
            value,
        });
        summary.files.extend(files);
        summary.captures.push(OnNode {
            node,
            value: capture,
        });
    }
    let several = context.several_nodes();
    output::print(context.format, &summary, || {
        let mut text = String::new();
        for OnNode { node, value } in &summary.captures {
            text.push_str(&format!(
                "capture {} on {node}: {}\n",
                value.name,
                tables::state_text(value)
            ));
            if !value.message.is_empty() {
                text.push_str(&format!("  {}\n", value.message));
            }
            let ledgers = tables::ledgers(&value.interfaces, &value.ledger);
            text.push_str(&format!("\n{}\n\n", ledgers.trim_end()));
        }
        text.push_str(&tables::files(&summary.files, several));
        text
    })?;
    Ok(exit)
}

/// Shows the capture's progress until it has ended everywhere.
async fn follow(context: &Context, name: &str, started: &[OnNode<Capture>]) -> Exit {
    let mut latest: Vec<Option<Capture>> = started.iter().map(|_| None).collect();
    let mut streams = Vec::new();
    for answer in started {
        let options = context.settings.call_options("");
        let mut targets = context.settings.targets.iter();
        let target = targets.find(|target| target.label() == answer.node);
        let Some(target) = target else { continue };
        let watched = async {
            let client = Client::connect(target, &options).await?;
            let second = Some(Duration::from_secs(1));
            client
                .watch(&[name.to_owned()], &Default::default(), second)
                .await
        };
        match watched.await {
            Ok(stream) => streams.push(Box::pin(stream)),
            Err(error) => return super::answers::complain(context, target, error),
        }
    }
    let mut line = Line::new();
    loop {
        let waiting: Vec<_> = streams.iter_mut().map(|stream| stream.next()).collect();
        let (event, number, _) = select_all(waiting).await;
        match event {
            Some(Ok(event)) => {
                if event.kind == EventKind::Deleted {
                    return Exit::Done;
                }
                if let Some(capture) = event.capture {
                    latest[number] = Some(capture);
                }
            }
            Some(Err(error)) => {
                clear_line();
                let mut targets = context.settings.targets.iter();
                let target = targets.find(|target| target.label() == started[number].node);
                return target.map_or(Exit::Failed, |target| {
                    super::answers::complain(context, target, error)
                });
            }
            None => return Exit::Done,
        }
        let known: Vec<_> = latest.iter().flatten().collect();
        if known.len() == started.len() && known.iter().all(|capture| capture.has_ended()) {
            return Exit::Done;
        }
        line.show(&known);
    }
}

/// The progress line; only on a terminal.
struct Line {
    before: Option<(Instant, u64)>,
}

impl Line {
    const fn new() -> Self {
        Self { before: None }
    }

    fn show(&mut self, captures: &[&Capture]) {
        if !stderr().is_terminal() {
            return;
        }
        let sum = |number: fn(&Capture) -> Option<u64>| {
            captures
                .iter()
                .map(|capture| number(capture))
                .sum::<Option<u64>>()
        };
        let written = sum(|capture| capture.ledger.written);
        let matched = sum(|capture| capture.ledger.matched);
        let bytes: u64 = captures.iter().map(|capture| capture.bytes_written).sum();
        let now = (Instant::now(), matched.unwrap_or(0));
        let rate = self.before.map_or(0.0, |before| {
            let elapsed = now.0.duration_since(before.0).as_secs_f64().max(0.001);
            now.1.saturating_sub(before.1) as f64 / elapsed
        });
        self.before = Some(now);
        let file = match captures {
            [one] => one.current_file.clone(),
            _ => None,
        };
        let text = format!(
            "\r\x1b[K{rate:.0} packets/s, {} packets and {} written, {} lost, {}",
            tables::count(written),
            tables::size(bytes),
            tables::count(sum(|capture| capture.ledger.lost())),
            file.unwrap_or_else(|| format!("{} captures", captures.len())),
        );
        // A terminal that went away is no reason to stop recording.
        let _ = stderr().write_all(text.as_bytes());
        let _ = stderr().flush();
    }
}

fn clear_line() {
    if stderr().is_terminal() {
        let _ = stderr().write_all(b"\r\x1b[K");
    }
}
