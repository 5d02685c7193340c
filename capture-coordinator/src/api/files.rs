//! Files of captures, forwarded from the nodes.

use std::sync::Arc;

use capture_client::Client;
use capture_proto::v1::{self, file_service_client::FileServiceClient};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::{Request, Status};

use super::{
    access::Captures,
    nodes::{problem, timely, with_capture},
    unknown,
};
use crate::nodes::Nodes;

const AT_ONCE: usize = 64;
/// Maximum message of a node: a page of files, or a chunk of one.
const LARGEST_ANSWER: usize = 16 << 20;

fn service(client: &Client) -> FileServiceClient<tonic::transport::Channel> {
    FileServiceClient::new(client.channel()).max_decoding_message_size(LARGEST_ANSWER)
}

/// The files of a capture on all nodes that have it.
pub(super) async fn list(
    nodes: &Arc<Nodes>,
    captures: &Captures,
    name: &str,
) -> v1::ListClusterFilesResponse {
    let one = |node: String| async move {
        let state = nodes.get(&node).unwrap_or_default();
        let listed = match &state.client {
            Some(client) => list_one(client, name).await,
            None => Err(Status::unavailable(problem(&state.link))),
        };
        let (files, removed_files, problem) = match listed {
            Ok((files, removed)) => (files, removed, String::new()),
            Err(status) => (Vec::new(), 0, status.message().to_owned()),
        };
        v1::ClusterNodeFiles {
            node,
            files,
            removed_files,
            problem,
        }
    };
    let names = with_capture(nodes, captures, name);
    let all = stream::iter(names.into_iter().map(one)).buffered(AT_ONCE);
    v1::ListClusterFilesResponse {
        nodes: all.collect().await,
    }
}

async fn list_one(client: &Client, capture: &str) -> Result<(Vec<v1::File>, u64), Status> {
    let mut files = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListFilesRequest {
            capture: capture.to_owned(),
            page_size: 1000,
            page_token: page_token.clone(),
        };
        let answer = service(client).list_files(timely(request)).await?;
        let answer = answer.into_inner();
        files.extend(answer.files);
        if answer.next_page_token.is_empty() || answer.next_page_token == page_token {
            return Ok((files, answer.removed_files));
        }
        page_token = answer.next_page_token;
    }
}

/// The node that a file is read from.
pub(super) fn place(
    nodes: &Nodes,
    captures: &Captures,
    request: &v1::ReadClusterFileRequest,
) -> Result<(Client, String), Status> {
    let name = &request.name;
    let has_it = with_capture(nodes, captures, name).contains(&request.node);
    if !has_it {
        return Err(unknown(name));
    }
    match nodes.client(&request.node) {
        Some(client) => Ok((client, name.clone())),
        None => Err(Status::unavailable(format!(
            "node {} cannot be reached",
            request.node
        ))),
    }
}

/// Forwards a file.
pub(super) async fn read(
    client: Client,
    capture: String,
    request: v1::ReadClusterFileRequest,
    sink: mpsc::Sender<Result<v1::ReadClusterFileResponse, Status>>,
) -> Result<(), Status> {
    let request = v1::ReadFileRequest {
        capture,
        file: request.file,
        offset: request.offset,
        length: None,
        reason: "through the coordinator".to_owned(),
    };
    let answer = service(&client).read_file(Request::new(request)).await?;
    let mut pieces = answer.into_inner();
    while let Some(piece) = pieces.message().await? {
        let response = v1::ReadClusterFileResponse { piece: Some(piece) };
        if sink.send(Ok(response)).await.is_err() {
            break;
        }
    }
    Ok(())
}
