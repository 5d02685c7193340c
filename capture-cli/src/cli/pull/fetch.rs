//! Downloads from every node, with a bar for each.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use capture_args::console::tell;
use capture_client::{
    Client, ClientError, Target,
    model::{File, FileState, Output},
    pull::{self, DownloadError, Report, Retry, Wanted},
};
use capture_types::Format;
use futures_util::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Fetched, OfNode, PullArgs};
use crate::cli::{
    Context,
    answers::complain,
    exit::{Error, Exit},
};

/// Downloads from all nodes at the same time, each node's files one after the other.
pub(super) async fn fetch_all(
    context: &Context,
    arguments: &PullArgs,
    directories: &[PathBuf],
) -> (Vec<(OfNode, Vec<Fetched>)>, Exit) {
    let bars = MultiProgress::with_draw_target(draw_target());
    let targets = &context.settings.targets;
    let fetching = targets.iter().zip(directories).map(|(target, directory)| {
        let bar = bars.add(bar(0, BYTES));
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
    let bytes = listed.iter().map(|file| file.bytes).sum();
    let mut progress = Progress::new(&target.label(), bytes, bar);
    let mut of_node = OfNode::new(&target.label());
    let mut fetched = Vec::new();
    for file in listed {
        let wanted = Wanted {
            name: file.name.clone(),
            bytes: file.bytes,
            digest: file.digest.clone(),
            growing: file.state == FileState::Growing,
        };
        let source = (&client, arguments.name.as_str());
        match pull::download(&source, &wanted, directory, retry, &mut progress).await {
            Ok(path) => {
                of_node.add(progress.next());
                fetched.push(Fetched { path, file });
            }
            Err(error) if arguments.skip_bad && is_bad(&error) => {
                tell(format_args!("{target}: left out: {error}"));
                of_node.skipped.push(file.name);
            }
            Err(error) => return Err(with_the_way_out(error)),
        }
    }
    progress.finish();
    Ok((of_node, fetched))
}

/// Text files cannot be merged, and a capture may have no files at all.
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
            "{target}: the file being written is left out; --growing includes it"
        ));
    }
    let wanted =
        |file: &File| file.is_whole() || arguments.growing && file.state == FileState::Growing;
    let mut files = listing.files;
    files.retain(wanted);
    Ok((client, files))
}

/// Whether retrying cannot help.
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
        return Error::Damaged(format!("{error}; --skip-bad skips it"));
    }
    error.into()
}

/// A bar of bytes that come from a node.
const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// The progress of one node's files, so many bytes.
pub(in crate::cli) fn progress(node: &str, bytes: u64) -> Progress {
    Progress::new(node, bytes, bar(0, BYTES))
}

/// How far a node's files have come.
pub(in crate::cli) struct Progress {
    node: String,
    /// Bytes of the files before this one.
    before: u64,
    here: u64,
    bar: ProgressBar,
}

impl Progress {
    fn new(node: &str, bytes: u64, bar: ProgressBar) -> Self {
        bar.set_message(node.to_owned());
        bar.set_length(bytes);
        Self {
            node: node.to_owned(),
            before: 0,
            here: 0,
            bar,
        }
    }

    /// The next file begins; returns the bytes of this one.
    pub(in crate::cli) const fn next(&mut self) -> u64 {
        self.before += self.here;
        self.here
    }

    pub(in crate::cli) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Report for Progress {
    fn bytes(&mut self, here: u64) {
        self.here = here;
        self.bar.set_position(self.before + here);
    }

    fn broke(&mut self, error: &ClientError) {
        let line = format!("{}: {error}; resuming", self.node);
        self.bar.suspend(|| tell(&line));
    }
}

fn draw_target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    }
}

pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), draw_target());
    bar.enable_steady_tick(Duration::from_millis(500));
    // A wrong template would cost looks only.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
