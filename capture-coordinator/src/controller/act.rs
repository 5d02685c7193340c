//! Actions on nodes, and the interpretation of their answers.

use std::sync::Arc;

use capture_client::{
    Client, ClientError, Refusal, Update,
    model::{Capture, File},
};
use futures_util::{StreamExt as _, future, stream};

use super::Context;
use crate::decide::Action;

/// Nodes that are called concurrently for one resource.
const AT_ONCE: usize = 64;

/// The result of an action.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) node: String,
    pub(super) action: Action,
    pub(super) result: Result<Done, ClientError>,
}

/// The answer of a node.
#[derive(Debug)]
pub(super) enum Done {
    /// The current state of the capture.
    Capture(Box<Capture>),
    /// It no longer exists.
    Gone,
    /// The files of the capture with this uid.
    Files(String, Vec<File>),
}

/// Runs actions on many nodes concurrently.
pub(super) async fn act(
    context: &Arc<Context>,
    capture: &str,
    actions: Vec<(String, Action)>,
) -> Vec<Outcome> {
    let one = |(node, action): (String, Action)| {
        let context = Arc::clone(context);
        async move {
            let client = context.nodes.client(&node)?;
            let uid = context
                .nodes
                .view(&node, capture)
                .and_then(|(_, known)| known)
                .map(|known| known.uid.clone());
            let result = carry_out(&client, capture, uid, action.clone()).await;
            context.metrics.acted(action.name(), result.is_ok());
            match &result {
                Ok(Done::Capture(known)) => context.nodes.learn(&node, Capture::clone(known)),
                Ok(Done::Gone) => context.nodes.forget(&node, capture),
                Ok(Done::Files(..)) | Err(_) => {}
            }
            Some(Outcome {
                node,
                action,
                result,
            })
        }
    };
    stream::iter(actions.into_iter().map(one))
        .buffer_unordered(AT_ONCE)
        .filter_map(future::ready)
        .collect()
        .await
}

async fn carry_out(
    client: &Client,
    name: &str,
    uid: Option<String>,
    action: Action,
) -> Result<Done, ClientError> {
    let capture = match action {
        Action::Start { spec, labels } => start(client, name, spec, labels).await?,
        Action::Replace { spec, labels } => {
            forget(client, name, true).await?;
            start(client, name, spec, labels).await?
        }
        Action::Update {
            spec,
            labels,
            paths,
        } => {
            let update = Update {
                spec,
                labels,
                paths,
                generation: None,
            };
            match client.update(name, update).await {
                // It ended meanwhile, which the next reconcile sees.
                Err(ClientError::Refused {
                    refusal: Refusal::Precondition,
                    message,
                }) => {
                    let capture = client.get(name).await?;
                    if !capture.has_ended() {
                        return Err(ClientError::Refused {
                            refusal: Refusal::Precondition,
                            message,
                        });
                    }
                    capture
                }
                Err(ClientError::NotFound(_)) => return Ok(Done::Gone),
                other => other?,
            }
        }
        Action::Stop => match client.stop(name, true).await {
            Err(ClientError::NotFound(_)) => return Ok(Done::Gone),
            other => other?,
        },
        Action::Delete { keep_files } => {
            forget(client, name, keep_files).await?;
            return Ok(Done::Gone);
        }
        Action::ListFiles => {
            let capture = client.get(name).await?;
            let mut files = client.files(name).await?.files;
            // Files of earlier captures of the name come before those of this one.
            let since = capture.create_time;
            files.retain(|file| file.last_time.is_none() || file.last_time >= since);
            return Ok(Done::Files(uid.unwrap_or(capture.uid), files));
        }
    };
    Ok(Done::Capture(Box::new(capture)))
}

/// Starts a capture. If the name is in use already, that capture is checked: an earlier coordinator may have
/// started it.
async fn start(
    client: &Client,
    name: &str,
    spec: capture_client::model::Spec,
    labels: std::collections::BTreeMap<String, String>,
) -> Result<Capture, ClientError> {
    match client.start(name, spec, labels, "", false).await {
        Err(ClientError::Refused {
            refusal: Refusal::AlreadyExists,
            ..
        }) => client.get(name).await,
        other => other,
    }
}

async fn forget(client: &Client, name: &str, keep_files: bool) -> Result<(), ClientError> {
    match client.delete(name, true, keep_files).await {
        Ok(_) | Err(ClientError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the same request will fail again until somebody changes the resource.
pub(super) const fn is_permanent(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Refused {
            refusal: Refusal::Invalid | Refusal::Unsupported,
            ..
        }
    )
}
