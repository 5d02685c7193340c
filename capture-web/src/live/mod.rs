//! Live captures: of the daemons of nodes, or of a cluster through its coordinator. Generated types and those of
//! the client do not leave this module.

mod check;
mod cluster;
mod convert;
mod download;
mod nodes;
mod problem;
mod request;
mod watch;

use std::{path::PathBuf, time::Duration};

use capture_client::{CallOptions, Target, Update, cluster::Coordinator};

use self::nodes::Action;
use crate::api::{
    CaptureChange, CaptureStart, Captures, ExpressionCheck, ExpressionVerdict, FileListing,
    LiveMode, NodeAnswers, Nodes, Problem,
};

pub use download::Download;
pub use watch::{Subscription, Watch};

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where captures are.
#[derive(Debug, Clone)]
pub enum Live {
    /// On nodes, whose daemons are asked directly.
    Nodes(Vec<Target>),
    /// On the nodes of a cluster; the token may be in a file, which is read for each request.
    Cluster(Box<Coordinator>, Option<PathBuf>),
}

/// What is done to a capture that exists.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// Change it.
    Update(&'a Update),
    /// Stop it, and wait until everything is on disk.
    Stop,
    /// Delete it with its files.
    Delete,
}

/// Who asks, for the audit logs of the daemons.
fn options(who: &str, reason: &str) -> CallOptions {
    CallOptions {
        timeout: Some(TIMEOUT),
        reason: match reason {
            "" => format!("web: {who}"),
            reason => format!("web: {who}: {reason}"),
        },
    }
}

impl Live {
    /// Directly or through the coordinator.
    #[must_use]
    pub const fn mode(&self) -> LiveMode {
        match self {
            Self::Nodes(_) => LiveMode::Nodes,
            Self::Cluster(..) => LiveMode::Coordinator,
        }
    }

    /// The nodes.
    ///
    /// # Errors
    /// The coordinator does not answer.
    pub async fn nodes(&self) -> Result<Nodes, Box<Problem>> {
        match self {
            Self::Nodes(targets) => Ok(nodes::nodes(targets).await),
            Self::Cluster(coordinator, token) => {
                cluster::nodes(coordinator, token.as_deref()).await
            }
        }
    }

    /// Captures; without a name, all.
    ///
    /// # Errors
    /// The coordinator does not answer.
    pub async fn captures(&self, name: &str) -> Result<Captures, Box<Problem>> {
        match self {
            Self::Nodes(targets) => Ok(nodes::captures(targets, name).await),
            Self::Cluster(coordinator, token) => {
                cluster::captures(coordinator, token.as_deref(), name).await
            }
        }
    }

    /// Starts a capture on the nodes that it names.
    ///
    /// # Errors
    /// The request is wrong, or this is not possible here.
    pub async fn start(
        &self,
        who: &str,
        start: &CaptureStart,
    ) -> Result<NodeAnswers, Box<Problem>> {
        let targets = match self {
            Self::Cluster(coordinator, token) => {
                return cluster::start((coordinator, token.as_deref()), who, start).await;
            }
            Self::Nodes(targets) => targets,
        };
        if start.pods.is_some() {
            let fix =
                "leave it out: pods are selected through the coordinator of a Kubernetes cluster";
            return Err(problem::invalid("pods", "", fix));
        }
        let spec = request::spec(&start.recording, &start.limits)?;
        let targets = chosen(targets, &start.nodes)?;
        let request_id = crate::new_id().unwrap_or_default();
        let action = Action::Start {
            spec: &spec,
            request_id: &request_id,
        };
        Ok(nodes::ask(&targets, who, &start.reason, &start.name, action).await)
    }

    /// Changes a capture.
    ///
    /// # Errors
    /// The request is wrong, or this is not possible here.
    pub async fn change(
        &self,
        who: &str,
        name: &str,
        node: Option<&str>,
        change: &CaptureChange,
    ) -> Result<NodeAnswers, Box<Problem>> {
        let update = request::update(change)?;
        self.ask(who, name, node, Change::Update(&update)).await
    }

    /// Stops a capture, and waits until everything is on disk.
    ///
    /// # Errors
    /// This is not possible here.
    pub async fn stop(
        &self,
        who: &str,
        name: &str,
        node: Option<&str>,
    ) -> Result<NodeAnswers, Box<Problem>> {
        self.ask(who, name, node, Change::Stop).await
    }

    /// Deletes an ended capture and its files.
    ///
    /// # Errors
    /// This is not possible here.
    pub async fn delete(
        &self,
        who: &str,
        name: &str,
        node: Option<&str>,
    ) -> Result<NodeAnswers, Box<Problem>> {
        self.ask(who, name, node, Change::Delete).await
    }

    async fn ask(
        &self,
        who: &str,
        name: &str,
        node: Option<&str>,
        change: Change<'_>,
    ) -> Result<NodeAnswers, Box<Problem>> {
        let targets = match self {
            Self::Cluster(coordinator, token) => {
                let place = (&**coordinator, token.as_deref());
                return cluster::ask(place, who, name, node, change).await;
            }
            Self::Nodes(targets) => holding(targets, name, node).await?,
        };
        Ok(nodes::ask(&targets, who, "", name, Action::Change(change)).await)
    }

    /// The files of a capture.
    ///
    /// # Errors
    /// The coordinator does not answer, or there is no such capture.
    pub async fn files(&self, name: &str, node: Option<&str>) -> Result<FileListing, Box<Problem>> {
        let mut listing = match self {
            Self::Nodes(targets) => nodes::files(targets, name).await,
            Self::Cluster(coordinator, token) => {
                cluster::files(coordinator, token.as_deref(), name).await?
            }
        };
        listing
            .nodes
            .retain(|files| node.is_none_or(|node| files.node == node));
        if listing.nodes.is_empty() {
            return Err(problem::not_found("capture", name));
        }
        Ok(listing)
    }

    /// Begins to read a file from an offset on.
    ///
    /// # Errors
    /// The node or the file is not known, or does not answer.
    pub async fn download(
        &self,
        who: &str,
        name: &str,
        node: Option<&str>,
        file: &str,
        offset: u64,
    ) -> Result<Download, Box<Problem>> {
        match self {
            Self::Nodes(targets) => {
                let target = match (node, &**targets) {
                    (None, [only]) => only,
                    (None, _) => return Err(problem::which_node()),
                    (Some(node), targets) => targets
                        .iter()
                        .find(|target| target.label() == node)
                        .ok_or_else(|| problem::not_found("node", node))?,
                };
                Download::of_node(target.clone(), who, name, file, offset).await
            }
            Self::Cluster(coordinator, token) => {
                let node = node.ok_or_else(problem::which_node)?;
                let client = cluster::client(coordinator, token.as_deref()).await?;
                Download::of_cluster(client, node, name, file, offset).await
            }
        }
    }

    /// Checks an expression.
    ///
    /// # Errors
    /// The node is not known or does not answer.
    pub async fn check(&self, check: &ExpressionCheck) -> Result<ExpressionVerdict, Box<Problem>> {
        let targets = match self {
            Self::Cluster(coordinator, token) => {
                return cluster::check(coordinator, token.as_deref(), check).await;
            }
            Self::Nodes(targets) => chosen(targets, check.node.as_slice())?,
        };
        match &*targets {
            [first, ..] => nodes::check(first, check).await,
            [] => Err(problem::not_found("node", "")),
        }
    }
}

/// The targets of these names; of no names, all.
fn chosen(targets: &[Target], names: &[String]) -> Result<Vec<Target>, Box<Problem>> {
    if names.is_empty() {
        return Ok(targets.to_vec());
    }
    let find = |name: &String| {
        let target = targets.iter().find(|target| target.label() == *name);
        target
            .cloned()
            .ok_or_else(|| problem::not_found("node", name))
    };
    names.iter().map(find).collect()
}

/// The nodes that have a capture, or the one that is named.
async fn holding(
    targets: &[Target],
    name: &str,
    node: Option<&str>,
) -> Result<Vec<Target>, Box<Problem>> {
    if let Some(node) = node {
        return chosen(targets, &[node.to_owned()]);
    }
    let found = nodes::captures(targets, name).await;
    let has = |target: &&Target| {
        let label = target.label();
        found.captures.iter().any(|capture| capture.node == label)
    };
    let holding: Vec<_> = targets.iter().filter(has).cloned().collect();
    if holding.is_empty() {
        let unreachable = found.problems.into_values().next();
        let unreachable = unreachable.map(Box::new);
        return Err(unreachable.unwrap_or_else(|| problem::not_found("capture", name)));
    }
    Ok(holding)
}
