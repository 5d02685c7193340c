//! `capturectl pull`.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use capture_args::console::tell;
use capture_types::Format;
use clap::Args;
use futures_util::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{
    Context,
    answers::complain,
    exit::{Error, Exit},
    output, tables,
};
use capture_client::{
    Client, ClientError, Target,
    model::{File, FileState, Output},
    pull::{self, DownloadError, Report, Retry, Wanted, Workspace},
};
use capture_file::{self, Input, Kind, Writer};

/// Fetch all files of a capture from every node into one file, in the order of time.
///
/// Each file is compared with its SHA-256. A connection that breaks is taken up again where it broke;
/// what has arrived stands in OUT.pull/ until OUT is there, and a later pull goes on from it. OUT gets
/// its name when it is whole. While that lasts, both need room: what is on the nodes, and OUT.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub(super) struct PullArgs {
    /// Name of the capture.
    name: String,

    /// The file to write: .pcapng or .pcap, and with .gz or .zst behind, compressed.
    #[arg(short, long, group = "where", value_name = "OUT")]
    write: Option<PathBuf>,

    /// Instead of merging, put the files as they are into DIR/NODE/.
    #[arg(long, group = "where", value_name = "DIR")]
    into: Option<PathBuf>,

    /// Also the file that is being written, as far as it has come.
    #[arg(long)]
    growing: bool,

    /// Leave out files that are gone or damaged on the node, and say so.
    #[arg(long)]
    skip_bad: bool,

    /// Attempts in a row that may bring nothing before a node is given up.
    #[arg(long, value_name = "N", default_value_t = 10)]
    attempts: u32,
}

const EXAMPLES: &str = "\
Examples:
  capturectl pull web -w web.pcapng
  capturectl --node a:9443 --node b:9443 pull web -w both-ends.pcapng.zst
  capturectl pull web --into ./files";

/// What `pull` says at the end.
#[derive(Debug, Serialize)]
struct Pulled {
    output: PathBuf,
    nodes: Vec<OfNode>,
    packets: Option<u64>,
    out_of_order: Option<u64>,
}

#[derive(Debug, Serialize)]
struct OfNode {
    node: String,
    files: u64,
    bytes: u64,
    skipped: Vec<String>,
}

/// A file that is here.
struct Fetched {
    path: PathBuf,
    file: File,
}

pub(super) async fn run(context: &Context, arguments: &PullArgs) -> Result<Exit, Error> {
    match (&arguments.write, &arguments.into) {
        (Some(output), _) => merged(context, arguments, output).await,
        (None, Some(directory)) => separate(context, arguments, directory).await,
        (None, None) => Err(Error::Usage("give --write or --into".to_owned())),
    }
}

async fn merged(context: &Context, arguments: &PullArgs, output: &Path) -> Result<Exit, Error> {
    if output.is_dir() {
        return Err(Error::Usage(format!(
            "--write {} is a directory: name a file in it, or use --into",
            output.display()
        )));
    }
    let workspace = Workspace::open(output)?;
    let directories: Vec<_> = context
        .settings
        .targets
        .iter()
        .map(|target| workspace.node(&target.label()))
        .collect::<Result<_, _>>()?;
    let (fetched, exit) = fetch_all(context, arguments, &directories).await;
    if exit != Exit::Done {
        if let Some(left) = workspace.leave() {
            tell(format_args!(
                "what has arrived is kept in {}; the same command goes on from there",
                left.display()
            ));
        }
        return Ok(exit);
    }
    let (nodes, fetched): (Vec<_>, Vec<_>) = fetched.into_iter().unzip();
    let labels: Vec<_> = nodes.iter().map(|node| node.node.clone()).collect();
    let (file, packets, out_of_order) = merge(arguments, output, &workspace, &labels, &fetched)?;
    workspace.finish(&file)?;
    if out_of_order > 0 {
        tell(format_args!(
            "{out_of_order} packets stand behind later ones: a node's clock was set back"
        ));
    }
    report(
        context,
        &Pulled {
            output: output.to_owned(),
            nodes,
            packets: Some(packets),
            out_of_order: Some(out_of_order),
        },
    )
}

/// Writes the merged file beside its name; returns it, its packets, and those out of order.
fn merge(
    arguments: &PullArgs,
    output: &Path,
    workspace: &Workspace,
    labels: &[String],
    fetched: &[Vec<Fetched>],
) -> Result<(std::fs::File, u64, u64), Error> {
    let mut inputs = Vec::new();
    let mut expected = Some(0);
    for (node, files) in fetched.iter().enumerate() {
        for Fetched { path, file } in files {
            let growing = file.state == FileState::Growing;
            expected = expected
                .zip(file.packets.filter(|_| !growing))
                .map(|(sum, packets)| sum + packets);
            inputs.push(Input {
                path: path.clone(),
                node,
                first: file
                    .first_time
                    .filter(|_| !growing)
                    .and_then(|time| u64::try_from(time.into_duration().as_nanos()).ok()),
                growing,
            });
        }
    }
    let bar = bar(
        expected.unwrap_or(0),
        "{msg} {wide_bar} {pos}/{len} packets",
    );
    bar.set_message("merging");
    let comment = format!("capture {} of {}", arguments.name, labels.join(", "));
    let writer = Writer::new(workspace.begin_output()?, Kind::of(output), &comment)?;
    let mut since = 0;
    let (merged, file) = capture_file::merge(inputs, labels, writer, || {
        // A bar costs more than a packet.
        since += 1;
        if since == 4096 {
            bar.inc(since);
            since = 0;
        }
    })?;
    bar.finish_and_clear();
    match expected {
        Some(expected) if expected != merged.packets => Err(Error::Damaged(format!(
            "the files hold {} packets, and the nodes say {expected}: {} is not written",
            merged.packets,
            output.display()
        ))),
        _ => Ok((file, merged.packets, merged.out_of_order)),
    }
}

async fn separate(
    context: &Context,
    arguments: &PullArgs,
    directory: &Path,
) -> Result<Exit, Error> {
    let mut directories = Vec::new();
    for target in &context.settings.targets {
        let path = directory.join(pull::file_name(&target.label()));
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        directories.push(path);
    }
    let (fetched, exit) = fetch_all(context, arguments, &directories).await;
    let nodes = fetched.into_iter().map(|(node, _)| node).collect();
    let said = report(
        context,
        &Pulled {
            output: directory.to_owned(),
            nodes,
            packets: None,
            out_of_order: None,
        },
    )?;
    Ok(exit.and(said))
}

/// Downloads from all nodes at the same time, each node's files one after the other.
async fn fetch_all(
    context: &Context,
    arguments: &PullArgs,
    directories: &[PathBuf],
) -> (Vec<(OfNode, Vec<Fetched>)>, Exit) {
    let bars = MultiProgress::with_draw_target(draw_target());
    let targets = &context.settings.targets;
    let fetching = targets.iter().zip(directories).map(|(target, directory)| {
        let bar = bars.add(bar(
            0,
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ));
        fetch(context, arguments, target, directory, bar)
    });
    let mut fetched = Vec::new();
    let mut exit = Exit::Done;
    let results = join_all(fetching).await;
    for (target, result) in targets.iter().zip(results) {
        match result {
            Ok(of_node) => fetched.push(of_node),
            Err(error) => exit = exit.and(complain(context, target, error)),
        }
    }
    (fetched, exit)
}

async fn fetch(
    context: &Context,
    arguments: &PullArgs,
    target: &Target,
    directory: &Path,
    bar: ProgressBar,
) -> Result<(OfNode, Vec<Fetched>), Error> {
    let retry = Retry {
        attempts: arguments.attempts.max(1),
        ..Retry::default()
    };
    let (client, listed) = listing(context, arguments, target, retry).await?;
    check_kind(&client, arguments, &listed).await?;
    let mut progress = Progress {
        node: target.label(),
        before: 0,
        here: 0,
        bar,
    };
    progress.bar.set_message(target.label());
    progress
        .bar
        .set_length(listed.iter().map(|file| file.bytes).sum());
    let mut of_node = OfNode {
        node: target.label(),
        files: 0,
        bytes: 0,
        skipped: Vec::new(),
    };
    let mut fetched = Vec::new();
    for file in listed {
        let wanted = Wanted {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            growing: file.state == FileState::Growing,
        };
        let source = (&client, arguments.name.as_str());
        match pull::download(&source, &wanted, directory, retry, &mut progress).await {
            Ok(path) => {
                of_node.files += 1;
                of_node.bytes += progress.here;
                progress.before += progress.here;
                fetched.push(Fetched { path, file });
            }
            Err(error) if arguments.skip_bad && is_bad(&error) => {
                tell(format_args!("{target}: left out: {error}"));
                of_node.skipped.push(file.name);
            }
            Err(error) => return Err(with_the_way_out(error)),
        }
    }
    progress.bar.finish_and_clear();
    Ok((of_node, fetched))
}

/// Lines cannot be merged with packets, and a capture may have no files at all.
async fn check_kind(client: &Client, arguments: &PullArgs, listed: &[File]) -> Result<(), Error> {
    let name = &arguments.name;
    let is_text = |file: &File| file.format == Some(Format::Text);
    if arguments.write.is_some() && listed.iter().any(is_text) {
        return Err(Error::Usage(format!(
            "capture {name} has files of lines, which --write cannot merge: use --into DIR"
        )));
    }
    if listed.is_empty()
        && let Some(Output::Stdout {}) = client.get(name).await?.spec.output
    {
        return Err(Error::Failed(format!(
            "capture {name} has no files: its packets are lines in the daemon's own output"
        )));
    }
    Ok(())
}

/// The files to fetch, and a connection to fetch them by.
async fn listing(
    context: &Context,
    arguments: &PullArgs,
    target: &Target,
    retry: Retry,
) -> Result<(Client, Vec<File>), ClientError> {
    let options = context.settings.call_options(&context.reason);
    let mut failed = 0;
    let (client, listing) = loop {
        let attempt = async {
            let client = Client::connect(target, &options).await?;
            let listing = client.files(&arguments.name).await?;
            Ok((client, listing))
        };
        match attempt.await {
            Ok(listed) => break listed,
            // Nothing has been there yet: that nobody listens will not pass.
            Err(ClientError::Broken(problem)) => {
                failed += 1;
                let Some(wait) = retry.wait(failed) else {
                    return Err(ClientError::Broken(problem));
                };
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    };
    if listing.removed.files > 0 {
        tell(format_args!(
            "{target}: {} files with {} packets are missing: retention has removed them",
            listing.removed.files, listing.removed.packets
        ));
    }
    let growing = listing.files.iter().filter(|file| !file.is_whole());
    if !arguments.growing && growing.count() > 0 {
        tell(format_args!(
            "{target}: the file being written is left out; --growing takes it as it is"
        ));
    }
    let wanted =
        |file: &File| file.is_whole() || arguments.growing && file.state == FileState::Growing;
    let mut files = listing.files;
    files.retain(wanted);
    Ok((client, files))
}

/// Whether a file can never come, however often it is asked for.
const fn is_bad(error: &DownloadError) -> bool {
    matches!(
        error,
        DownloadError::Digest { .. }
            | DownloadError::Node {
                source: ClientError::NotFound(_) | ClientError::Damaged(_),
                ..
            }
    )
}

fn with_the_way_out(error: DownloadError) -> Error {
    if is_bad(&error) {
        return Error::Damaged(format!("{error}; --skip-bad goes on without it"));
    }
    error.into()
}

struct Progress {
    node: String,
    /// Bytes of the files before this one.
    before: u64,
    here: u64,
    bar: ProgressBar,
}

impl Report for Progress {
    fn bytes(&mut self, here: u64) {
        self.here = here;
        self.bar.set_position(self.before + here);
    }

    fn broke(&mut self, error: &ClientError) {
        let line = format!("{}: {error}; going on where it broke", self.node);
        self.bar.suspend(|| tell(&line));
    }
}

fn report(context: &Context, pulled: &Pulled) -> Result<Exit, Error> {
    output::print(context.format, pulled, || {
        let mut text = String::new();
        for node in &pulled.nodes {
            text.push_str(&format!(
                "{}: {} files, {}{}\n",
                node.node,
                node.files,
                tables::size(node.bytes),
                if node.skipped.is_empty() {
                    String::new()
                } else {
                    format!(", {} LEFT OUT", node.skipped.len())
                }
            ));
        }
        let packets = pulled.packets;
        let packets = packets.map_or_else(String::new, |packets| format!(": {packets} packets"));
        text.push_str(&format!("{}{packets}\n", pulled.output.display()));
        text
    })?;
    let whole = pulled.nodes.iter().all(|node| node.skipped.is_empty());
    Ok(if whole { Exit::Done } else { Exit::Damaged })
}

fn draw_target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), draw_target());
    bar.enable_steady_tick(Duration::from_millis(500));
    // A wrong template would cost looks only.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
