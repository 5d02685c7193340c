//! Requests to the coordinator of a cluster.

use std::{collections::BTreeMap, path::Path};

use capture_client::cluster::{ClusterClient, Coordinator, Proof};

use super::{convert, options, problem};
use crate::api::{Captures, FileListing, Node, NodeFiles, Nodes, Problem};

/// A connection for a request. The token's file is read each time: such tokens are renewed.
pub(super) async fn client(
    coordinator: &Coordinator,
    token: Option<&Path>,
) -> Result<ClusterClient, Box<Problem>> {
    let mut coordinator = coordinator.clone();
    if let Some(path) = token {
        let token = tokio::fs::read_to_string(path).await.map_err(|error| {
            let text = format!("{}: {error}", path.display());
            problem::of(&capture_client::ClientError::Files(text))
        })?;
        coordinator.proof = Proof::Token(token);
    }
    let connected = ClusterClient::connect(&coordinator, &options("", "")).await;
    connected.map_err(|error| problem::of(&error))
}

fn unreachable(text: String) -> Problem {
    *problem::of(&capture_client::ClientError::Broken(text))
}

pub(super) async fn nodes(
    coordinator: &Coordinator,
    token: Option<&Path>,
) -> Result<Nodes, Box<Problem>> {
    let found = client(coordinator, token).await?.nodes().await;
    let found = found.map_err(|error| problem::of(&error))?;
    let node = |node: capture_client::cluster::ClusterNode| {
        let (facts, problem) = match node.node {
            Ok(facts) => (Some(convert::node(&facts, &[])), None),
            Err(text) => (None, Some(unreachable(text))),
        };
        Node {
            node: node.name,
            facts,
            problem,
        }
    };
    Ok(Nodes {
        nodes: found.into_iter().map(node).collect(),
    })
}

pub(super) async fn captures(
    coordinator: &Coordinator,
    token: Option<&Path>,
    name: &str,
) -> Result<Captures, Box<Problem>> {
    let found = client(coordinator, token).await?.captures(name).await;
    let found = found.map_err(|error| problem::of(&error))?;
    let mut problems = BTreeMap::new();
    let mut captures = Vec::new();
    for one in found {
        captures.push(convert::capture(&one.node, &one.capture));
        if let Some(text) = one.problem {
            problems.insert(one.node, unreachable(text));
        }
    }
    Ok(Captures { captures, problems })
}

pub(super) async fn files(
    coordinator: &Coordinator,
    token: Option<&Path>,
    name: &str,
) -> Result<FileListing, Box<Problem>> {
    let found = client(coordinator, token).await?.files(name).await;
    let found = found.map_err(|error| problem::of(&error))?;
    let files = |files: capture_client::cluster::NodeFiles| NodeFiles {
        node: files.node,
        files: files.files.iter().map(convert::file).collect(),
        removed: files.removed_files,
        problem: files.problem.map(unreachable),
    };
    Ok(FileListing {
        nodes: found.into_iter().map(files).collect(),
    })
}
