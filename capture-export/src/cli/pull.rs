//! `capture-export pull`: the files of a capture from object storage, as `capturectl pull` fetches them from nodes.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use capture_file::{Input, Kind, Writer, digest};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{print, runtime};
use crate::{
    checkpoint::sync_directory,
    store::{ObjectLine, ReadStoreError, StoreReader, StoreSettings},
};

/// Options of `pull`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub(super) struct PullArgs {
    #[command(flatten)]
    settings: StoreSettings,
    /// Name of the capture [default: all captures below the URL].
    capture: Option<String>,
    /// The file to write: .pcapng or .pcap, compressed if .gz or .zst follows; - is stdout, as pcapng.
    #[arg(short, long, group = "where", value_name = "OUT")]
    write: Option<PathBuf>,
    /// Do not merge: store the files unchanged in DIR/NODE/.
    #[arg(long, group = "where", value_name = "DIR")]
    into: Option<PathBuf>,
    /// Only list the files, one JSON object per line.
    #[arg(long, group = "where")]
    list: bool,
}

/// Exit statuses like those of capturectl.
const NOT_FOUND: u8 = 3;
const DAMAGED: u8 = 6;

impl PullArgs {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let problems = self.settings.problems();
        if !problems.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        let runtime = runtime()?;
        let reader = self.settings.reader()?;
        runtime.block_on(async {
            tokio::select! {
                code = self.pull(&reader) => code,
                stopped = tokio::signal::ctrl_c() => {
                    stopped.context("handling signals")?;
                    bail!("interrupted; run the same command again to resume");
                }
            }
        })
    }

    async fn pull(&self, reader: &StoreReader) -> Result<ExitCode> {
        let lines = match reader.list(self.capture.as_deref()).await {
            Ok(lines) => lines,
            Err(error) => return failed(error),
        };
        if lines.is_empty() {
            let what = self.capture.as_deref().unwrap_or("any capture");
            eprintln!(
                "capture-export: no file of {what} is below {}",
                self.settings.url
            );
            return Ok(NOT_FOUND.into());
        }
        if self.list {
            for line in &lines {
                print(&(serde_json::to_string(line)? + "\n"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(directory) = &self.into {
            return match fetch_all(reader, &lines, directory, false).await {
                Ok(_) => Ok(ExitCode::SUCCESS),
                Err(error) => failed(error),
            };
        }
        let output = self.write.clone().unwrap_or_default();
        let mut name = if output == Path::new("-") {
            "stdout".into()
        } else {
            output.clone().into_os_string()
        };
        name.push(".pull");
        let workspace = PathBuf::from(name);
        match fetch_all(reader, &lines, &workspace, true).await {
            Ok(paths) => tokio::task::block_in_place(|| merge(&lines, &paths, &output, &workspace)),
            Err(error) => {
                eprintln!(
                    "capture-export: partial data is kept in {}; run the same command again to resume",
                    workspace.display()
                );
                failed(error)
            }
        }
    }
}

fn failed(error: ReadStoreError) -> Result<ExitCode> {
    if matches!(error, ReadStoreError::Damaged { .. }) {
        eprintln!("capture-export: {error}");
        return Ok(DAMAGED.into());
    }
    Err(error.into())
}

/// Fetches what is not there yet. Files are named after their objects, in one directory per node.
async fn fetch_all(
    reader: &StoreReader,
    lines: &[ObjectLine],
    directory: &Path,
    whole_key: bool,
) -> Result<Vec<PathBuf>, ReadStoreError> {
    let bar = ProgressBar::new(lines.iter().map(|line| line.entry.bytes).sum());
    if let Ok(style) = ProgressStyle::with_template("fetching {wide_bar} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    let mut paths = Vec::new();
    let mut taken = BTreeSet::new();
    for line in lines {
        let node = directory.join(crate::store::segment(&line.node));
        let local = |source| ReadStoreError::Local {
            path: node.display().to_string(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&node)
            .map_err(local)?;
        // Two objects can have one file name, for example of two days.
        let short = crate::store::segment(&line.entry.file);
        let path = if whole_key || !taken.insert((line.node.clone(), short.clone())) {
            node.join(crate::store::segment(&line.key))
        } else {
            node.join(short)
        };
        if is_there(&path, line) {
            bar.inc(line.entry.bytes);
        } else {
            let mut part = path.clone().into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            reader.fetch(line, &part, |bytes| bar.inc(bytes)).await?;
            fs::rename(&part, &path).map_err(local)?;
        }
        paths.push(path);
    }
    bar.finish_and_clear();
    Ok(paths)
}

fn is_there(path: &Path, line: &ObjectLine) -> bool {
    let Some(expected) = &line.entry.digest else {
        return false;
    };
    let found = crate::file::open_regular(path).and_then(|file| digest(file, expected.algorithm()));
    found.is_ok_and(|found| found == *expected)
}

/// Merges the files, and gives the output its name when it is complete.
fn merge(
    lines: &[ObjectLine],
    paths: &[PathBuf],
    output: &Path,
    workspace: &Path,
) -> Result<ExitCode> {
    let nodes: BTreeSet<&str> = lines.iter().map(|line| line.node.as_str()).collect();
    let nodes: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
    let inputs = lines.iter().zip(paths).map(|(line, path)| Input {
        path: path.clone(),
        node: nodes
            .iter()
            .position(|node| *node == line.node)
            .unwrap_or(0),
        first: line.entry.first.as_ref().map(|first| first.nanoseconds),
        growing: false,
    });
    let inputs: Vec<_> = inputs.collect();
    let expected = lines
        .iter()
        .map(|line| line.entry.packets)
        .sum::<Option<u64>>();
    let comment = format!("from object storage, of {}", nodes.join(", "));
    let packets = if output == Path::new("-") {
        let stdout = io::stdout().lock();
        write(inputs, &nodes, stdout, Kind::PCAPNG, &comment)?.0
    } else {
        let unfinished = workspace.join("output");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let context = || unfinished.display().to_string();
        let file = options.open(&unfinished).with_context(context)?;
        let (packets, file): (u64, File) = write(inputs, &nodes, file, Kind::of(output), &comment)?;
        file.sync_all().with_context(context)?;
        packets
    };
    if let Some(expected) = expected.filter(|expected| *expected != packets) {
        eprintln!(
            "capture-export: the files hold {packets} packets, and the store says {expected}: the output is not complete"
        );
        return Ok(DAMAGED.into());
    }
    if output != Path::new("-") {
        fs::rename(workspace.join("output"), output)
            .with_context(|| output.display().to_string())?;
        let parent = output.parent().filter(|parent| *parent != Path::new(""));
        sync_directory(parent.unwrap_or(Path::new("."))).context("making the output durable")?;
        print(&format!(
            "{}: {packets} packets of {} files\n",
            output.display(),
            lines.len()
        ))?;
    }
    fs::remove_dir_all(workspace).with_context(|| workspace.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn write<W: Write>(
    inputs: Vec<Input>,
    nodes: &[String],
    output: W,
    kind: Kind,
    comment: &str,
) -> Result<(u64, W)> {
    let writer = Writer::new(output, kind, comment)?;
    let (merged, output) = capture_file::merge(inputs, nodes, writer, || {})?;
    Ok((merged.packets, output))
}
