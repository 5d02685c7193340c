//! Requests to the daemons of nodes, to all of them at the same time.

use std::collections::BTreeMap;

use capture_client::{Client, ClientError, Target, model};
use futures_util::future::join_all;

use super::{
    Change,
    check::{CHECKS, unused_name, verdict},
    convert, options, problem, request,
};
use crate::api::{
    Answer, Captures, ExpressionCheck, ExpressionVerdict, FileListing, Node, NodeAnswers,
    NodeFiles, Nodes, Problem,
};

/// A connection for a request.
pub(super) async fn client(
    target: &Target,
    who: &str,
    reason: &str,
) -> Result<Client, ClientError> {
    Client::connect(target, &options(who, reason)).await
}

/// Every node's facts and interfaces.
pub(super) async fn nodes(targets: &[Target]) -> Nodes {
    let asked = targets.iter().cloned().map(|target| async move {
        let facts = async {
            let client = client(&target, "", "").await?;
            let node = client.node().await?;
            let interfaces = client.interfaces().await?;
            Ok::<_, ClientError>(convert::node(&node, &interfaces))
        };
        let (facts, problem) = match facts.await {
            Ok(facts) => (Some(facts), None),
            Err(error) => (None, Some(*problem::of(&error))),
        };
        Node {
            node: target.label(),
            facts,
            problem,
        }
    });
    Nodes {
        nodes: join_all(asked).await,
        kubernetes: false,
    }
}

/// The captures of every node.
pub(super) async fn captures(targets: &[Target], name: &str) -> Captures {
    let asked = targets.iter().cloned().map(|target| async move {
        let found = async {
            let client = client(&target, "", "").await?;
            if name.is_empty() {
                return client.list("", &[], &BTreeMap::new()).await;
            }
            match client.get(name).await {
                Ok(capture) => Ok(vec![capture]),
                Err(ClientError::NotFound(_)) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        (target.label(), found.await)
    });
    let (mut captures, mut problems) = (Vec::new(), BTreeMap::new());
    for (node, found) in join_all(asked).await {
        match found {
            Ok(found) => captures.extend(found.iter().map(|one| convert::capture(&node, one))),
            Err(error) => {
                problems.insert(node, *problem::of(&error));
            }
        }
    }
    captures.sort_by(|one, other| (&one.name, &one.node).cmp(&(&other.name, &other.node)));
    Captures { captures, problems }
}

/// What every node is asked to do with a capture.
#[derive(Clone, Copy)]
pub(super) enum Action<'a> {
    /// Start it.
    Start {
        spec: &'a model::Spec,
        /// The same for all nodes; a node that is asked twice starts one capture.
        request_id: &'a str,
    },
    /// Do something to one that exists.
    Change(Change<'a>),
}

impl Action<'_> {
    async fn ask(self, client: &Client, name: &str) -> Result<model::Capture, ClientError> {
        match self {
            Self::Start { spec, request_id } => {
                let labels = BTreeMap::new();
                let spec = spec.clone();
                client.start(name, spec, labels, request_id, false).await
            }
            Self::Change(Change::Update(update)) => client.update(name, update.clone()).await,
            Self::Change(Change::Stop) => client.stop(name, false).await,
            Self::Change(Change::Delete) => {
                let (capture, _) = client.delete(name, false, false).await?;
                Ok(capture)
            }
        }
    }
}

/// Asks every node for the same, with a reason.
pub(super) async fn ask(
    targets: &[Target],
    who: &str,
    reason: &str,
    name: &str,
    action: Action<'_>,
) -> NodeAnswers {
    let asked = targets.iter().cloned().map(|target| async move {
        let node = target.label();
        let answered = match client(&target, who, reason).await {
            Ok(client) => action.ask(&client, name).await,
            Err(error) => Err(error),
        };
        let (capture, problem) = match answered {
            Ok(capture) => (Some(convert::capture(&node, &capture)), None),
            Err(error) => (None, Some(*problem::of(&error))),
        };
        Answer {
            node,
            capture,
            problem,
        }
    });
    NodeAnswers {
        nodes: join_all(asked).await,
        message: None,
    }
}

/// The files of every node that has the capture.
pub(super) async fn files(targets: &[Target], name: &str) -> FileListing {
    let asked = targets.iter().cloned().map(|target| async move {
        let listed = async { client(&target, "", "").await?.files(name).await };
        let node = target.label();
        match listed.await {
            Ok(listing) => Some(NodeFiles {
                node,
                files: listing.files.iter().map(convert::file).collect(),
                removed: listing.removed.files,
                problem: None,
            }),
            Err(ClientError::NotFound(_)) => None,
            Err(error) => Some(NodeFiles {
                node,
                files: Vec::new(),
                removed: 0,
                problem: Some(*problem::of(&error)),
            }),
        }
    });
    FileListing {
        nodes: join_all(asked).await.into_iter().flatten().collect(),
    }
}

/// Lets the daemon compile an expression, as for a capture that is not started.
pub(super) async fn check(
    target: &Target,
    check: &ExpressionCheck,
) -> Result<ExpressionVerdict, Box<Problem>> {
    let client = client(target, "", CHECKS).await;
    let client = client.map_err(|error| problem::of(&error))?;
    let (name, id) = unused_name();
    let spec = request::to_check(check)?;
    let checked = client.start(&name, spec, BTreeMap::new(), &id, true).await;
    verdict(checked.err()).map_err(|error| problem::of(&error))
}
