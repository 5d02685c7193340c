//! Nodes and captures of the cluster.

use std::sync::Arc;

use capture_client::Client;
use capture_proto::v1::{
    self, capture_service_client::CaptureServiceClient, node_service_client::NodeServiceClient,
};
use futures_util::{StreamExt as _, stream};
use tonic::{Request, Status};

use super::{PATIENCE, access::Captures};
use crate::{decide::Link, nodes::Nodes};

/// Nodes that are called concurrently.
const AT_ONCE: usize = 64;
/// Maximum answer of a node.
const LARGEST_ANSWER: usize = 16 << 20;

/// A request to a node, with a deadline.
pub(super) fn timely<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Why a node cannot be called.
pub(super) fn problem(link: &Link) -> String {
    match link {
        Link::NoDaemon => "no daemon runs on it".to_owned(),
        Link::Connecting => "its daemon has not answered yet".to_owned(),
        Link::Broken(problem) => problem.clone(),
        Link::Ready => String::new(),
    }
}

/// Calls every node; the answers are sorted by node name.
pub(super) async fn each<T, F: Future<Output = T>>(
    names: Vec<String>,
    ask: impl Fn(String) -> F,
) -> Vec<T> {
    stream::iter(names.into_iter().map(ask))
        .buffered(AT_ONCE)
        .collect()
        .await
}

pub(super) async fn list(nodes: &Arc<Nodes>, kubernetes: bool) -> v1::ListClusterNodesResponse {
    let ask = |name: String| async move {
        let state = nodes.get(&name).unwrap_or_default();
        let result = match &state.client {
            Some(client) => node(client, kubernetes).await,
            None => Err(Status::unavailable(problem(&state.link))),
        };
        match result {
            Ok((node, interfaces)) => v1::ClusterNode {
                name,
                node,
                problem: String::new(),
                interfaces,
            },
            Err(status) => v1::ClusterNode {
                name,
                node: None,
                problem: status.message().to_owned(),
                interfaces: Vec::new(),
            },
        }
    };
    v1::ListClusterNodesResponse {
        nodes: each(nodes.names(), ask).await,
        kubernetes,
    }
}

async fn node(
    client: &Client,
    kubernetes: bool,
) -> Result<(Option<v1::Node>, Vec<v1::NetworkInterface>), Status> {
    let mut service = NodeServiceClient::new(client.channel());
    let answer = service.get_node(timely(v1::GetNodeRequest {})).await?;
    let node = answer.into_inner().node;
    if kubernetes {
        return Ok((node, Vec::new()));
    }
    let request = timely(v1::ListInterfacesRequest {});
    let answer = service.list_interfaces(request).await?;
    Ok((node, answer.into_inner().interfaces))
}

/// Captures that the caller may see, with one name or all.
pub(super) async fn captures(
    nodes: &Arc<Nodes>,
    captures: &Captures,
    name: &str,
) -> v1::ListClusterCapturesResponse {
    let names = if name.is_empty() {
        nodes.names()
    } else {
        with_capture(nodes, captures, name)
    };
    let ask = |node: String| async move {
        let state = nodes.get(&node).unwrap_or_default();
        let wanted = state
            .captures
            .values()
            .filter(|capture| captures.has(capture) && (name.is_empty() || capture.name == name));
        let wanted: Vec<String> = wanted.map(|capture| capture.name.clone()).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let answer = match &state.client {
            Some(client) => list_captures(client, name).await,
            None => Err(Status::unavailable(problem(&state.link))),
        };
        let (answer, problem) = match answer {
            Ok(answer) => (answer, String::new()),
            Err(status) => (Vec::new(), status.message().to_owned()),
        };
        let one = |name: String| v1::ClusterCapture {
            node: node.clone(),
            capture: Some(
                answer
                    .iter()
                    .find(|capture| capture.name == name)
                    .cloned()
                    .unwrap_or_else(|| v1::Capture {
                        name: name.clone(),
                        ..v1::Capture::default()
                    }),
            ),
            problem: problem.clone(),
        };
        wanted.into_iter().map(one).collect()
    };
    let mut all: Vec<v1::ClusterCapture> = each(names, ask).await.into_iter().flatten().collect();
    let key = |capture: &v1::ClusterCapture| {
        let name = capture.capture.as_ref().map(|capture| capture.name.clone());
        (name, capture.node.clone())
    };
    all.sort_by_key(key);
    v1::ListClusterCapturesResponse { captures: all }
}

/// Nodes that have the capture, if the caller may see it.
pub(super) fn with_capture(nodes: &Nodes, captures: &Captures, name: &str) -> Vec<String> {
    let mut found = nodes.with_capture(name);
    found.retain(|node| {
        let known = nodes.view(node, name).and_then(|(_, capture)| capture);
        known.is_some_and(|capture| captures.has(&capture))
    });
    found
}

async fn list_captures(client: &Client, name: &str) -> Result<Vec<v1::Capture>, Status> {
    let mut service =
        CaptureServiceClient::new(client.channel()).max_decoding_message_size(LARGEST_ANSWER);
    let mut captures = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListCapturesRequest {
            page_size: 1000,
            page_token: page_token.clone(),
            // Names of captures contain no glob wildcards.
            name_glob: name.to_owned(),
            ..v1::ListCapturesRequest::default()
        };
        let answer = service.list_captures(timely(request)).await?.into_inner();
        captures.extend(answer.captures);
        if answer.next_page_token.is_empty() || answer.next_page_token == page_token {
            return Ok(captures);
        }
        page_token = answer.next_page_token;
    }
}
