//! Requests to the coordinator of a cluster.

use std::{collections::BTreeMap, path::Path};

use capture_client::cluster::{
    ClusterClient, ClusterSpec, ClusterUpdate, Coordinator, NodeAnswer, Proof,
};

use super::{
    Change,
    check::{CHECKS, unused_name, verdict},
    convert, options, problem, request,
};
use crate::{
    api::{
        Answer, CaptureStart, Captures, ExpressionCheck, ExpressionVerdict, FileListing, Node,
        NodeAnswers, NodeFiles, Nodes, Problem,
    },
    new_id,
};

/// A connection for a request that only reads.
pub(super) async fn client(
    coordinator: &Coordinator,
    token: Option<&Path>,
) -> Result<ClusterClient, Box<Problem>> {
    client_for(coordinator, token, "", "").await
}

/// A connection for a request. The token's file is read each time: such tokens are renewed.
async fn client_for(
    coordinator: &Coordinator,
    token: Option<&Path>,
    who: &str,
    reason: &str,
) -> Result<ClusterClient, Box<Problem>> {
    let mut coordinator = coordinator.clone();
    if let Some(path) = token {
        let token = tokio::fs::read_to_string(path).await.map_err(|error| {
            let text = format!("{}: {error}", path.display());
            problem::of(&capture_client::ClientError::Files(text))
        })?;
        coordinator.proof = Proof::Token(token);
    }
    let connected = ClusterClient::connect(&coordinator, &options(who, reason)).await;
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
            Ok(facts) => (Some(convert::node(&facts, &node.interfaces)), None),
            Err(text) => (None, Some(unreachable(text))),
        };
        Node {
            node: node.name,
            facts,
            problem,
        }
    };
    Ok(Nodes {
        nodes: found.nodes.into_iter().map(node).collect(),
        kubernetes: found.kubernetes,
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

/// Starts a capture on the nodes that it names, or on those of its pods.
pub(super) async fn start(
    (coordinator, token): (&Coordinator, Option<&Path>),
    who: &str,
    start: &CaptureStart,
) -> Result<NodeAnswers, Box<Problem>> {
    let spec = request::cluster_spec(start)?;
    let client = client_for(coordinator, token, who, &start.reason).await?;
    let id = new_id().unwrap_or_default();
    let started = client.start(&start.name, spec, &id, false).await;
    let started = started.map_err(|error| problem::of_coordinator(&error))?;
    Ok(NodeAnswers {
        nodes: started.nodes.into_iter().map(answer).collect(),
        message: started.message,
    })
}

/// Asks for a change of a capture, on the node that is named or on all.
pub(super) async fn ask(
    (coordinator, token): (&Coordinator, Option<&Path>),
    who: &str,
    name: &str,
    node: Option<&str>,
    change: Change<'_>,
) -> Result<NodeAnswers, Box<Problem>> {
    let nodes: Vec<String> = node.map(str::to_owned).into_iter().collect();
    let client = client_for(coordinator, token, who, "").await?;
    let answered = match change {
        Change::Update(update) => {
            let update = ClusterUpdate {
                spec: ClusterSpec {
                    capture: update.spec.clone(),
                    ..ClusterSpec::default()
                },
                paths: update.paths.clone(),
                generation: update.generation,
            };
            client.update(name, &nodes, update).await
        }
        Change::Stop => client.stop(name, &nodes, false).await,
        Change::Delete => client.delete(name, &nodes, false, false).await,
    };
    let answered = answered.map_err(|error| problem::of_coordinator(&error))?;
    Ok(NodeAnswers {
        nodes: answered.into_iter().map(answer).collect(),
        message: None,
    })
}

fn answer(answer: NodeAnswer) -> Answer {
    let (capture, problem) = match answer.result {
        Ok(capture) => (Some(convert::capture(&answer.node, &capture)), None),
        Err(error) => (None, Some(*problem::of_coordinator(&error))),
    };
    Answer {
        node: answer.node,
        capture,
        problem,
    }
}

/// Lets a node compile an expression.
pub(super) async fn check(
    coordinator: &Coordinator,
    token: Option<&Path>,
    check: &ExpressionCheck,
) -> Result<ExpressionVerdict, Box<Problem>> {
    let client = client_for(coordinator, token, "", CHECKS).await?;
    let (name, id) = unused_name();
    let spec = ClusterSpec {
        nodes: check.node.clone().into_iter().collect(),
        capture: request::to_check(check)?,
        ..ClusterSpec::default()
    };
    let checked = client.start(&name, spec, &id, true).await;
    verdict(checked.err()).map_err(|error| problem::of_coordinator(&error))
}
