//! Changes of captures on the nodes of a list: each node's daemon is asked.

use std::{sync::Arc, time::Duration};

use capture_client::Client;
use capture_proto::v1::{self, capture_service_client::CaptureServiceClient};
use tonic::{Code, Request, Status, transport::Channel};

use super::{
    chosen,
    outcome::{Done, answers},
    wait::until,
};
use crate::{
    api::{
        access::Captures,
        nodes::{each, problem, with_capture},
        unknown,
    },
    nodes::Nodes,
};

/// Time limit for an answer of a node. Starting a capture compiles a program, and stopping one writes its packets.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the report of a change may take that its node has answered.
const REPORT: Duration = Duration::from_secs(1);
/// Maximum answer of a node.
const LARGEST_ANSWER: usize = 16 << 20;

type Service = CaptureServiceClient<Channel>;

fn service(client: &Client) -> Service {
    CaptureServiceClient::new(client.channel()).max_decoding_message_size(LARGEST_ANSWER)
}

fn timely<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Asks nodes at the same time.
async fn ask<F: Future<Output = Result<Done, Status>>>(
    nodes: &Arc<Nodes>,
    names: Vec<String>,
    call: impl Fn(Service) -> F,
) -> Vec<(String, Result<Done, Status>)> {
    let one = |node: String| {
        let state = nodes.get(&node).unwrap_or_default();
        let asked = state.client.as_ref().map(|client| call(service(client)));
        async move {
            let result = match asked {
                Some(asked) => asked.await,
                None => Err(Status::unavailable(problem(&state.link))),
            };
            (node, result)
        }
    };
    each(names, one).await
}

/// The nodes that are asked about a capture: those of the request, or all that have it.
fn holding(nodes: &Nodes, name: &str, names: &[String]) -> Result<Vec<String>, Status> {
    if !names.is_empty() {
        return chosen(nodes, names);
    }
    let found = with_capture(nodes, &Captures::All, name);
    if found.is_empty() {
        return Err(unknown(name));
    }
    Ok(found)
}

fn only_in_kubernetes(spec: &v1::ClusterCaptureSpec) -> Result<(), Status> {
    let fields = [
        ("pods", spec.pods.is_some()),
        ("node_labels", !spec.node_labels.is_empty()),
        ("ttl", spec.ttl.is_some()),
    ];
    match fields.into_iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(Status::invalid_argument(format!(
            "{field}: this coordinator runs without Kubernetes; leave it out"
        ))),
        None => Ok(()),
    }
}

/// Packets of addresses are recorded once on each node unless the request says otherwise: without
/// interfaces every one is captured, as for resources.
fn with_defaults(mut spec: v1::CaptureSpec) -> v1::CaptureSpec {
    if !spec.targets.is_empty() && spec.interfaces.is_empty() {
        spec.each_packet_once.get_or_insert(true);
    }
    spec
}

/// Starts a capture.
pub(super) async fn start(
    nodes: &Arc<Nodes>,
    from: &str,
    request: v1::StartClusterCaptureRequest,
) -> Result<v1::StartClusterCaptureResponse, Status> {
    let spec = request.spec.unwrap_or_default();
    only_in_kubernetes(&spec)?;
    let names = chosen(nodes, &spec.nodes)?;
    let message = v1::StartCaptureRequest {
        name: request.name,
        spec: spec.capture.map(with_defaults),
        labels: Default::default(),
        request_id: request.request_id,
        reason: from.to_owned(),
        validate_only: request.validate_only,
    };
    let start = |mut service: Service| {
        let message = message.clone();
        async move {
            let answer = service.start_capture(timely(message)).await?;
            Ok(answer.into_inner().capture.into())
        }
    };
    let nodes_done = ask(nodes, names, start).await;
    if !request.validate_only {
        seen(nodes, &nodes_done, |known, capture| {
            known.is_some_and(|known| known.uid == capture.uid)
        })
        .await;
    }
    Ok(v1::StartClusterCaptureResponse {
        nodes: answers(nodes_done)?,
        message: String::new(),
    })
}

/// Changes a capture.
pub(super) async fn update(
    nodes: &Arc<Nodes>,
    from: &str,
    request: v1::UpdateClusterCaptureRequest,
) -> Result<v1::UpdateClusterCaptureResponse, Status> {
    let spec = request.spec.unwrap_or_default();
    only_in_kubernetes(&spec)?;
    let paths = request.update_mask.iter().flat_map(|mask| &mask.paths);
    if let Some(path) = paths.into_iter().find(|path| {
        let first = path.split('.').next();
        first == Some("pods") || first == Some("labels")
    }) {
        return Err(Status::invalid_argument(format!(
            "update_mask: {path:?} cannot be changed through a coordinator without Kubernetes"
        )));
    }
    let names = holding(nodes, &request.name, &request.nodes)?;
    let message = v1::UpdateCaptureRequest {
        name: request.name,
        spec: spec.capture,
        labels: Default::default(),
        update_mask: request.update_mask,
        expected_generation: request.expected_generation,
        reason: from.to_owned(),
    };
    let update = |mut service: Service| {
        let message = message.clone();
        async move {
            let answer = service.update_capture(timely(message)).await?;
            Ok(answer.into_inner().capture.into())
        }
    };
    let done = ask(nodes, names, update).await;
    Ok(v1::UpdateClusterCaptureResponse {
        nodes: answers(done)?,
    })
}

/// Stops a capture.
pub(super) async fn stop(
    nodes: &Arc<Nodes>,
    from: &str,
    request: v1::StopClusterCaptureRequest,
) -> Result<v1::StopClusterCaptureResponse, Status> {
    let names = holding(nodes, &request.name, &request.nodes)?;
    let message = v1::StopCaptureRequest {
        name: request.name,
        reason: from.to_owned(),
        no_wait: request.no_wait,
    };
    let stop = |mut service: Service| {
        let message = message.clone();
        async move {
            let name = message.name.clone();
            let stopped = service.stop_capture(timely(message)).await;
            match stopped {
                Ok(answer) => Ok(answer.into_inner().capture.into()),
                // It goes on by itself; its state says how far it is.
                Err(status)
                    if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) =>
                {
                    let request = timely(v1::GetCaptureRequest { name });
                    let answer = service.get_capture(request).await?;
                    Ok(answer.into_inner().capture.into())
                }
                Err(status) => Err(status),
            }
        }
    };
    let done = ask(nodes, names, stop).await;
    Ok(v1::StopClusterCaptureResponse {
        nodes: answers(done)?,
    })
}

/// Deletes a capture.
pub(super) async fn delete(
    nodes: &Arc<Nodes>,
    from: &str,
    request: v1::DeleteClusterCaptureRequest,
) -> Result<v1::DeleteClusterCaptureResponse, Status> {
    let names = holding(nodes, &request.name, &request.nodes)?;
    let message = v1::DeleteCaptureRequest {
        name: request.name,
        stop: request.stop,
        keep_files: request.keep_files,
        reason: from.to_owned(),
    };
    let delete = |mut service: Service| {
        let message = message.clone();
        async move {
            let answer = service.delete_capture(timely(message)).await?;
            let answer = answer.into_inner();
            Ok(Done {
                capture: answer.capture,
                files_removed: answer.files_removed,
            })
        }
    };
    let done = ask(nodes, names, delete).await;
    seen(nodes, &done, |known, capture| {
        known.is_none_or(|known| known.uid != capture.uid)
    })
    .await;
    Ok(v1::DeleteClusterCaptureResponse {
        nodes: answers(done)?,
    })
}

/// Waits until the nodes have reported what they answered, so that the caller's next request finds it.
async fn seen(
    nodes: &Nodes,
    done: &[(String, Result<Done, Status>)],
    is_it: impl Fn(Option<&capture_client::model::Capture>, &v1::Capture) -> bool,
) {
    let captures = done.iter().filter_map(|(node, result)| {
        let capture = result.as_ref().ok()?.capture.as_ref()?;
        Some((node, capture))
    });
    let captures: Vec<_> = captures.collect();
    let all = || {
        let one = |(node, capture): &(&String, &v1::Capture)| {
            let known = nodes.view(node, &capture.name);
            let known = known.and_then(|(_, capture)| capture);
            is_it(known.as_deref(), capture)
        };
        captures.iter().all(one).then_some(())
    };
    // A report that is late is no reason to fail.
    let _ = until(REPORT, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_addresses_are_recorded_once_unless_the_request_says_otherwise() {
        let spec = |interfaces: &[&str], asked| v1::CaptureSpec {
            targets: vec!["192.0.2.1".to_owned()],
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
            each_packet_once: asked,
            ..v1::CaptureSpec::default()
        };
        let once = |spec| with_defaults(spec).each_packet_once;
        assert_eq!(once(spec(&[], None)), Some(true));
        assert_eq!(once(spec(&[], Some(false))), Some(false));
        assert_eq!(once(spec(&["eth0"], None)), None);
        assert_eq!(once(spec(&["eth0"], Some(true))), Some(true));
        assert_eq!(once(v1::CaptureSpec::default()), None);
    }
}
