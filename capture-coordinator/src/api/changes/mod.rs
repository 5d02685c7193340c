//! Calls that start, change, stop and delete captures: of the daemons of a list, or by resources of Kubernetes.

mod compile;
mod convert;
mod daemons;
mod outcome;
mod resources;
mod wait;

use std::sync::Arc;

use capture_proto::v1;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::access::{Access, Caller};
use crate::{controller::Context, nodes::Nodes};

/// Limit of changes that are carried out at once.
const AT_ONCE: usize = 64;
/// Maximum bytes of a reason.
const LONGEST_REASON: usize = 1024;
/// Maximum nodes in a request.
const MOST_NODES: usize = 1024;

/// What carries out changes.
#[derive(Clone)]
pub(super) struct Changes {
    nodes: Arc<Nodes>,
    access: Arc<Access>,
    /// `None` without Kubernetes.
    context: Option<Arc<Context>>,
    at_once: Arc<Semaphore>,
}

/// A request, and what the audit log says of it.
pub(super) trait Change: Send + 'static {
    /// The response.
    type Done: Send + 'static;
    /// The call's name.
    const CALL: &'static str;
    fn name(&self) -> &str;
    fn reason(&self) -> &str;
    fn nodes(&self) -> &[String];
    /// Asks daemons.
    fn ask(
        self,
        nodes: &Arc<Nodes>,
        from: &str,
    ) -> impl Future<Output = Result<Self::Done, Status>> + Send;
    /// Writes resources.
    fn write(
        self,
        resources: resources::Resources<'_>,
    ) -> impl Future<Output = Result<Self::Done, Status>> + Send;
}

impl Changes {
    pub(super) fn new(
        nodes: Arc<Nodes>,
        access: Arc<Access>,
        context: Option<Arc<Context>>,
    ) -> Self {
        Self {
            nodes,
            access,
            context,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Carries a change out to its end, even if the client does not wait for it.
    pub(super) async fn carry_out<C: Change>(
        &self,
        request: Request<C>,
    ) -> Result<Response<C::Done>, Status> {
        let caller = self.access.caller(&request).await?;
        let turn = Arc::clone(&self.at_once).try_acquire_owned();
        let turn = turn.map_err(|_| {
            Status::resource_exhausted(format!("{AT_ONCE} changes are carried out already"))
        })?;
        let changes = self.clone();
        let task = tokio::spawn(async move {
            let _turn = turn;
            let request = request.into_inner();
            let (name, reason) = (request.name().to_owned(), request.reason().to_owned());
            let done = match check(&request) {
                Ok(()) => changes.change(&caller, request).await,
                Err(status) => Err(status),
            };
            log(&caller, C::CALL, &name, &reason, done.as_ref().err());
            done
        });
        let done = task.await;
        let done = done.map_err(|_| Status::internal("the call ended unexpectedly"))??;
        Ok(Response::new(done))
    }

    async fn change<C: Change>(&self, caller: &Caller, request: C) -> Result<C::Done, Status> {
        let Some(context) = &self.context else {
            let from = match request.reason() {
                "" => format!("coordinator: {}", caller.name),
                reason => format!("coordinator: {}: {reason}", caller.name),
            };
            let from: String = short(&from, LONGEST_REASON).to_owned();
            return request.ask(&self.nodes, &from).await;
        };
        if let [node, ..] = request.nodes() {
            return Err(Status::invalid_argument(format!(
                "nodes: {node:?} cannot be chosen here: a PacketCaptureConfig is changed on all its nodes"
            )));
        }
        let resources = resources::Resources {
            context,
            access: &self.access,
            caller,
        };
        request.write(resources).await
    }
}

/// Checks what every change has.
fn check(request: &impl Change) -> Result<(), Status> {
    if request.name().is_empty() {
        return Err(Status::invalid_argument("name: it is empty; give one"));
    }
    if request.reason().len() > LONGEST_REASON {
        return Err(Status::invalid_argument(format!(
            "reason: {} bytes; give at most {LONGEST_REASON}",
            request.reason().len()
        )));
    }
    Ok(())
}

/// The first bytes of a text, whole letters only.
fn short(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A line of the audit log.
fn log(caller: &Caller, call: &str, name: &str, reason: &str, refused: Option<&Status>) {
    let (who, name) = (&caller.name, short(name, 253));
    let reason = match reason {
        "" => String::new(),
        reason => format!(" ({:?})", short(reason, LONGEST_REASON)),
    };
    match refused {
        None => tracing::info!("audit: {who:?} {call} {name:?}{reason}: done"),
        Some(status) => {
            let why = status.message();
            tracing::warn!("audit: {who:?} {call} {name:?}{reason}: refused: {why}");
        }
    }
}

/// The nodes of these names, or all.
fn chosen(nodes: &Nodes, names: &[String]) -> Result<Vec<String>, Status> {
    if names.len() > MOST_NODES {
        let message = format!("nodes: {} names; give at most {MOST_NODES}", names.len());
        return Err(Status::invalid_argument(message));
    }
    let known = nodes.names();
    if names.is_empty() {
        return Ok(known);
    }
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let shown: Vec<&str> = known.iter().take(10).map(String::as_str).collect();
        return Err(Status::not_found(format!(
            "nodes: there is no node {name:?}; use one of {}",
            shown.join(", ")
        )));
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

macro_rules! change {
    ($request:ident -> $response:ident, $call:literal, $function:ident, $nodes:expr) => {
        impl Change for v1::$request {
            type Done = v1::$response;
            const CALL: &'static str = $call;

            fn name(&self) -> &str {
                &self.name
            }

            fn reason(&self) -> &str {
                &self.reason
            }

            fn nodes(&self) -> &[String] {
                let nodes: fn(&Self) -> &[String] = $nodes;
                nodes(self)
            }

            async fn ask(self, nodes: &Arc<Nodes>, from: &str) -> Result<Self::Done, Status> {
                daemons::$function(nodes, from, self).await
            }

            async fn write(
                self,
                resources: resources::Resources<'_>,
            ) -> Result<Self::Done, Status> {
                resources.$function(self).await
            }
        }
    };
}

change!(StartClusterCaptureRequest -> StartClusterCaptureResponse, "StartClusterCapture", start, |_| &[]);
change!(UpdateClusterCaptureRequest -> UpdateClusterCaptureResponse, "UpdateClusterCapture", update, |this| &this.nodes);
change!(StopClusterCaptureRequest -> StopClusterCaptureResponse, "StopClusterCapture", stop, |this| &this.nodes);
change!(DeleteClusterCaptureRequest -> DeleteClusterCaptureResponse, "DeleteClusterCapture", delete, |this| &this.nodes);
