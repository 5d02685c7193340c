//! `kubectl capture pull`.

use std::path::{Path, PathBuf};

use capture_args::console::tell;
use capture_client::{
    cluster::{ClusterClient, NodeFiles},
    model::{FileState, Output},
    pull::{self, Retry, Wanted, Workspace},
};
use capture_types::Format;
use clap::Args;

use super::{Cluster, coordinator::connect};
use crate::cli::{
    exit::{Error, Exit},
    pull::{Fetched, OfNode, merge_into, progress, report, separate_report},
};

/// Fetch all files of a capture from every node into one file, merged by timestamp.
///
/// Each file is compared with its digest. What has arrived is kept in OUT.pull/ until OUT is complete, and
/// a later pull goes on from there.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true))]
pub(super) struct PullArgs {
    /// Name of the PacketCaptureConfig.
    name: String,
    /// The file to write: .pcapng or .pcap, and with .gz or .zst behind, compressed.
    #[arg(short, long, group = "where", value_name = "OUT")]
    write: Option<PathBuf>,
    /// Instead of merging, put the files as they are into DIR/NODE/.
    #[arg(long, group = "where", value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(super) async fn run(cluster: &Cluster, arguments: &PullArgs) -> Result<Exit, Error> {
    let connected = connect(cluster).await?;
    let client = &connected.client;
    let listed = client.files(&arguments.name).await?;
    for node in &listed {
        if let Some(problem) = &node.problem {
            return Err(Error::Failed(format!(
                "node {}: its files are not known: {problem}",
                node.node
            )));
        }
        if node.removed_files > 0 {
            let removed = node.removed_files;
            tell(format_args!(
                "{}: retention has removed {removed} files",
                node.node
            ));
        }
    }
    match (&arguments.write, &arguments.into) {
        (Some(output), _) => {
            check(client, &arguments.name, &listed).await?;
            let workspace = Workspace::open(output)?;
            let mut all = Vec::new();
            for node in &listed {
                let directory = workspace.node(&node.node)?;
                all.push(fetch(client, &arguments.name, node, &directory).await?);
            }
            let merged = merge_into(&arguments.name, output, workspace, all.into_iter().unzip())?;
            report(cluster.format, &merged)
        }
        (None, Some(directory)) => {
            let mut nodes = Vec::new();
            for node in &listed {
                let path = directory.join(pull::file_name(&node.node));
                std::fs::create_dir_all(&path)
                    .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
                nodes.push(fetch(client, &arguments.name, node, &path).await?.0);
            }
            separate_report(cluster.format, directory, nodes)
        }
        (None, None) => Err(Error::Usage("give --write or --into".to_owned())),
    }
}

/// Lines cannot be merged with packets, and a capture may have no files at all.
async fn check(client: &ClusterClient, name: &str, listed: &[NodeFiles]) -> Result<(), Error> {
    let mut files = listed.iter().flat_map(|node| &node.files);
    if files.any(|file| file.format == Some(Format::Text)) {
        return Err(Error::Usage(format!(
            "capture {name} has files of lines, which --write cannot merge: use --into DIR"
        )));
    }
    if listed.iter().all(|node| node.files.is_empty()) {
        let captures = client.captures(name).await?;
        let printed = captures
            .iter()
            .any(|one| matches!(one.capture.spec.output, Some(Output::Stdout {})));
        if printed {
            return Err(Error::Failed(format!(
                "capture {name} has no files: its packets are lines in the daemons' logs"
            )));
        }
    }
    Ok(())
}

async fn fetch(
    client: &ClusterClient,
    name: &str,
    node: &NodeFiles,
    directory: &Path,
) -> Result<(OfNode, Vec<Fetched>), Error> {
    let whole: Vec<_> = node.files.iter().filter(|file| file.is_whole()).collect();
    if whole.len() < node.files.len() {
        tell(format_args!(
            "{}: the file being written is left out",
            node.node
        ));
    }
    let mut progress = progress(&node.node, whole.iter().map(|file| file.bytes).sum());
    let mut of_node = OfNode::new(&node.node);
    let mut fetched = Vec::new();
    for file in whole {
        let wanted = Wanted {
            name: file.name.clone(),
            bytes: file.bytes,
            digest: file.digest.clone(),
            growing: file.state == FileState::Growing,
        };
        let source = (client, node.node.as_str(), name);
        let path = pull::download(&source, &wanted, directory, Retry::default(), &mut progress);
        let path = path.await?;
        of_node.add(progress.next());
        fetched.push(Fetched {
            path,
            file: file.clone(),
        });
    }
    progress.finish();
    Ok((of_node, fetched))
}
