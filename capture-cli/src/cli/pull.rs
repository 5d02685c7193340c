//! `capturectl pull`.

mod fetch;

use std::{
    io::{IsTerminal as _, Write, stdout},
    path::{Path, PathBuf},
};

use capture_args::console::tell;
use capture_client::{
    model::{File, FileState},
    pull::{self, Workspace},
};
use capture_file::{Input, Kind, Merged, Writer};
use clap::Args;
use serde::Serialize;

pub(super) use self::fetch::progress;
use self::fetch::{bar, fetch_all};
use super::{
    Context,
    exit::{Error, Exit},
    output, tables,
};

/// Fetch all files of a capture from every node into one file, merged by timestamp.
///
/// Each file is compared with its digest. A broken connection resumes where it stopped. Partial data is
/// kept in OUT.pull/ until OUT is complete, or in NAME.pull/ for stdout, and a later pull continues from
/// there; OUT gets its name when it is complete. Until then there must be room for both, the files of the
/// nodes and OUT.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub(super) struct PullArgs {
    /// Name of the capture.
    name: String,

    /// The file to write: .pcapng or .pcap, compressed if .gz or .zst follows; - is stdout, as
    /// pcapng.
    #[arg(short, long, group = "where", value_name = "OUT")]
    write: Option<PathBuf>,

    /// Do not merge: store the files unchanged in DIR/NODE/.
    #[arg(long, group = "where", value_name = "DIR")]
    into: Option<PathBuf>,

    /// Fetch from object storage instead of nodes: s3://BUCKET/PREFIX, gs://, az:// or file:///DIRECTORY, where
    /// capture-export has put the files. Credentials come from the environment.
    #[arg(long, value_name = "URL", conflicts_with_all = ["growing", "skip_bad"])]
    pub(super) from: Option<String>,

    /// Include the file that is being written, up to its current end.
    #[arg(long)]
    growing: bool,

    /// Skip files that are missing or damaged on the node, and report them.
    #[arg(long)]
    skip_bad: bool,

    /// Give a node up after this many attempts in a row without progress.
    #[arg(long, value_name = "N", default_value_t = 10)]
    attempts: u32,
}

const EXAMPLES: &str = "\
Examples:
  capturectl pull web -w web.pcapng
  capturectl pull web -w - | tcpdump -r -
  capturectl --node a:9443 --node b:9443 pull web -w both-ends.pcapng.zst
  capturectl pull web --into ./files
  capturectl pull web --from s3://bucket/prefix -w web.pcapng";

/// The summary of `pull`.
#[derive(Debug, Serialize)]
pub(super) struct Pulled {
    output: PathBuf,
    nodes: Vec<OfNode>,
    packets: Option<u64>,
    out_of_order: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfNode {
    node: String,
    files: u64,
    bytes: u64,
    skipped: Vec<String>,
}

impl OfNode {
    /// A node of which nothing has come yet.
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            files: 0,
            bytes: 0,
            skipped: Vec::new(),
        }
    }

    /// A file has come.
    pub(super) const fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// A file that is here.
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

pub(super) async fn run(context: &Context, arguments: &PullArgs) -> Result<Exit, Error> {
    match (&arguments.write, &arguments.into) {
        (Some(output), _) => merged(context, arguments, output).await,
        (None, Some(directory)) => separate(context, arguments, directory).await,
        (None, None) => Err(Error::Usage("give --write or --into".to_owned())),
    }
}

/// Becomes `capture-export pull`. Returns only if that is not possible.
pub(super) fn from_store(arguments: &PullArgs) -> Error {
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    if let Some(output) = &arguments.write {
        words.extend(["--write".into(), output.into()]);
    }
    if let Some(directory) = &arguments.into {
        words.extend(["--into".into(), directory.into()]);
    }
    words.push("--".into());
    words.extend(arguments.from.iter().map(Into::into));
    words.push((&arguments.name).into());
    super::export::become_exporter("pull".into(), words)
}

async fn merged(context: &Context, arguments: &PullArgs, output: &Path) -> Result<Exit, Error> {
    let to_stdout = output == Path::new("-");
    if to_stdout && stdout().is_terminal() {
        return Err(Error::Usage(
            "--write - to a terminal: use a pipe, as in `capturectl pull NAME -w - | tcpdump -r -`"
                .to_owned(),
        ));
    }
    if output.is_dir() {
        return Err(Error::Usage(format!(
            "--write {} is a directory: name a file in it, or use --into",
            output.display()
        )));
    }
    // What arrives for stdout stands beside the name of the capture.
    let beside = Path::new(&arguments.name);
    let workspace = Workspace::open(if to_stdout { beside } else { output })?;
    let (workspace, arrived) = match fetched(context, arguments, workspace).await? {
        Ok(arrived) => arrived,
        Err(exit) => return Ok(exit),
    };
    let pulled = merge_into(&arguments.name, output, workspace, arrived)?;
    report(context.format, &pulled)
}

/// Merges what has come from all nodes into the output, `-` for stdout.
pub(super) fn merge_into(
    name: &str,
    output: &Path,
    workspace: Workspace,
    (nodes, fetched): Arrived,
) -> Result<Pulled, Error> {
    let labels: Vec<_> = nodes.iter().map(|node| node.node.clone()).collect();
    let merging = Merging::new(name, &labels, &fetched);
    let merged = if output == Path::new("-") {
        let merged = merging.write(stdout(), Kind::PCAPNG, labels)?.0;
        workspace.discard()?;
        merged
    } else {
        let kind = Kind::of(output);
        let (merged, file) = merging.write(workspace.begin_output()?, kind, labels)?;
        workspace.finish(&file)?;
        merged
    };
    let (packets, out_of_order) = (merged.packets, merged.out_of_order);
    if out_of_order > 0 {
        tell(format_args!(
            "{out_of_order} packets are out of order: a node's clock was set back"
        ));
    }
    Ok(Pulled {
        output: output.to_owned(),
        nodes,
        packets: Some(packets),
        out_of_order: Some(out_of_order),
    })
}

/// What arrived of each node.
pub(super) type Arrived = (Vec<OfNode>, Vec<Vec<Fetched>>);

/// Fetches into a workspace. What did not arrive completely is kept there, and said.
async fn fetched(
    context: &Context,
    arguments: &PullArgs,
    workspace: Workspace,
) -> Result<Result<(Workspace, Arrived), Exit>, Error> {
    let directories: Vec<_> = context
        .settings
        .targets
        .iter()
        .map(|target| workspace.node(&target.label()))
        .collect::<Result<_, _>>()?;
    let (fetched, exit) = fetch_all(context, arguments, &directories).await;
    if exit == Exit::Done {
        return Ok(Ok((workspace, fetched.into_iter().unzip())));
    }
    if let Some(left) = workspace.leave() {
        tell(format_args!(
            "partial data is kept in {}; run the same command again to resume",
            left.display()
        ));
    }
    Ok(Err(exit))
}

/// A capture that was fetched and merged into one file, in a directory of its own.
pub(super) struct Local(Workspace);

impl Local {
    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.0.unfinished()
    }

    /// Removes the directory.
    pub(super) fn discard(self) -> Result<(), Error> {
        Ok(self.0.discard()?)
    }
}

/// Fetches all files of a capture from every node, also the one being written, and merges them into
/// NAME.pull/ in the working directory.
pub(super) async fn locally(context: &Context, name: &str) -> Result<Result<Local, Exit>, Error> {
    let output = PathBuf::from(pull::file_name(name));
    let arguments = PullArgs {
        name: name.to_owned(),
        write: Some(output.clone()),
        into: None,
        from: None,
        growing: true,
        skip_bad: false,
        attempts: 10,
    };
    let workspace = Workspace::open(&output)?;
    let (workspace, (nodes, fetched)) = match fetched(context, &arguments, workspace).await? {
        Ok(arrived) => arrived,
        Err(exit) => return Ok(Err(exit)),
    };
    let labels: Vec<_> = nodes.into_iter().map(|node| node.node).collect();
    let merging = Merging::new(name, &labels, &fetched);
    merging.write(workspace.begin_output()?, Kind::PCAPNG, labels)?;
    Ok(Ok(Local(workspace)))
}

/// The files of all nodes, to be merged.
struct Merging {
    inputs: Vec<Input>,
    /// The packets in them, where the nodes know it.
    expected: Option<u64>,
    comment: String,
}

impl Merging {
    fn new(name: &str, labels: &[String], fetched: &[Vec<Fetched>]) -> Self {
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
        Self {
            inputs,
            expected,
            comment: format!("capture {name} of {}", labels.join(", ")),
        }
    }

    /// Writes them as one file, and checks that it has every packet.
    fn write<W: Write>(
        self,
        output: W,
        kind: Kind,
        labels: Vec<String>,
    ) -> Result<(Merged, W), Error> {
        let template = "{msg} {wide_bar} {pos}/{len} packets";
        let bar = bar(self.expected.unwrap_or(0), template);
        bar.set_message("merging");
        let writer = Writer::new(output, kind, &self.comment)?;
        let mut since = 0;
        let (merged, output) = capture_file::merge(self.inputs, &labels, writer, || {
            // A bar costs more than a packet.
            since += 1;
            if since == 4096 {
                bar.inc(since);
                since = 0;
            }
        })?;
        bar.finish_and_clear();
        match self.expected {
            Some(expected) if expected != merged.packets => Err(Error::Damaged(format!(
                "the files hold {} packets, and the nodes say {expected}: the output is not complete",
                merged.packets
            ))),
            _ => Ok((merged, output)),
        }
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
    Ok(exit.and(separate_report(context.format, directory, nodes)?))
}

/// Says what has come into the directories of nodes.
pub(super) fn separate_report(
    format: output::Format,
    directory: &Path,
    nodes: Vec<OfNode>,
) -> Result<Exit, Error> {
    let pulled = Pulled {
        output: directory.to_owned(),
        nodes,
        packets: None,
        out_of_order: None,
    };
    report(format, &pulled)
}

pub(super) fn report(format: output::Format, pulled: &Pulled) -> Result<Exit, Error> {
    let whole = pulled.nodes.iter().all(|node| node.skipped.is_empty());
    let exit = if whole { Exit::Done } else { Exit::Damaged };
    if pulled.output == Path::new("-") {
        // Packets went to stdout.
        for node in &pulled.nodes {
            let size = tables::size(node.bytes);
            tell(format_args!("{}: {} files, {size}", node.node, node.files));
        }
        return Ok(exit);
    }
    output::print(format, pulled, || {
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
    Ok(exit)
}
