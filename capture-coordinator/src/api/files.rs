//! Files of captures, forwarded from the nodes.

use std::sync::Arc;

use capture_client::Client;
use capture_proto::v1::{self, file_service_client::FileServiceClient};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::{Request, Status};

use super::{
    nodes::{problem, timely, with_capture},
    reader::Reader,
    unknown,
};
use crate::{
    decide::{Namespaces, OwnFile, first_own},
    nodes::Nodes,
};

const AT_ONCE: usize = 64;
/// Maximum message of a node: a page of files, or a chunk of one.
const LARGEST_ANSWER: usize = 16 << 20;

fn service(client: &Client) -> FileServiceClient<tonic::transport::Channel> {
    FileServiceClient::new(client.channel()).max_decoding_message_size(LARGEST_ANSWER)
}

/// The files of a capture on a node that a caller may read.
#[derive(Default)]
struct Listed {
    files: Vec<v1::File>,
    removed: u64,
    /// Whose packets are in them.
    namespaces: Option<Namespaces>,
}

/// The files of a capture on all nodes that have it. Files of earlier captures of the name are only there for those who
/// may read anything.
pub(super) async fn list(
    nodes: &Arc<Nodes>,
    reader: &Reader,
    name: &str,
) -> Result<v1::ListClusterFilesResponse, Status> {
    let anything = reader.may_read_anything().await?;
    let one = |node: String| async move {
        let state = nodes.get(&node).unwrap_or_default();
        let listed = match &state.client {
            Some(client) if anything => list_one(client, name).await,
            Some(client) => list_own(client, reader, name).await,
            None => Err(Status::unavailable(problem(&state.link))),
        };
        let (listed, problem) = match listed {
            Ok(listed) => (listed, String::new()),
            Err(status) => (Listed::default(), status.message().to_owned()),
        };
        let answer = v1::ClusterNodeFiles {
            node,
            files: listed.files,
            removed_files: listed.removed,
            problem,
        };
        (answer, listed.namespaces)
    };
    let names = with_capture(nodes, reader.captures(), name);
    let all = stream::iter(names.into_iter().map(one)).buffered(AT_ONCE);
    let (nodes, namespaces): (Vec<_>, Vec<_>) = all.unzip().await;
    let namespaces = namespaces.into_iter().flatten();
    let namespaces = namespaces.fold(Namespaces::none(), Namespaces::and);
    reader.may_read(&namespaces).await?;
    Ok(v1::ListClusterFilesResponse { nodes })
}

async fn list_one(client: &Client, capture: &str) -> Result<Listed, Status> {
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
            return Ok(Listed {
                files,
                removed: answer.removed_files,
                namespaces: None,
            });
        }
        page_token = answer.next_page_token;
    }
}

/// Only the files that captures of the resource have written.
async fn list_own(client: &Client, reader: &Reader, name: &str) -> Result<Listed, Status> {
    let mut listed = list_one(client, name).await?;
    // After the files: the capture then knows the pods of every packet that is in them.
    let capture = client.get(name).await;
    let capture = capture.map_err(|error| Status::unavailable(error.to_string()))?;
    if !reader.captures().has(&capture) {
        return Err(unknown(name));
    }
    let own = first_own(&capture, listed.files.iter().map(own_file));
    let is_own = |file: &v1::File| own.is_some_and(|first| file.sequence >= first);
    listed.files.retain(is_own);
    listed.namespaces = Some(Namespaces::ever(&capture));
    Ok(listed)
}

fn own_file(file: &v1::File) -> OwnFile<'_> {
    let last = file.last_time.as_ref().and_then(|time| {
        let seconds = u64::try_from(time.seconds).ok()?;
        let nanoseconds = u64::try_from(time.nanos).ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    });
    OwnFile {
        name: &file.name,
        sequence: file.sequence,
        last,
    }
}

/// The node that a file is read from.
pub(super) fn place(
    nodes: &Nodes,
    reader: &Reader,
    request: &v1::ReadClusterFileRequest,
) -> Result<Client, Status> {
    let name = &request.name;
    let has_it = with_capture(nodes, reader.captures(), name).contains(&request.node);
    if !has_it {
        return Err(unknown(name));
    }
    nodes
        .client(&request.node)
        .ok_or_else(|| Status::unavailable(format!("node {} cannot be reached", request.node)))
}

/// The request to the node, if the caller may read the file.
pub(super) async fn readable(
    client: &Client,
    reader: &Reader,
    request: v1::ReadClusterFileRequest,
) -> Result<v1::ReadFileRequest, Status> {
    let v1::ReadClusterFileRequest {
        name, file, offset, ..
    } = request;
    let mut length = None;
    if !reader.may_read_anything().await? {
        let listed = list_own(client, reader, &name).await?;
        let found = listed.files.iter().find(|own| own.name == file);
        let found = found.ok_or_else(|| {
            Status::not_found(format!(
                "{name} has no file {file:?}; one of an earlier capture of this name needs the right to get pods in \
                 all namespaces"
            ))
        })?;
        let namespaces = listed.namespaces.unwrap_or(Namespaces::Any);
        reader.may_read(&namespaces).await?;
        // What is written from now on may be of other pods.
        length = Some(found.bytes.saturating_sub(offset));
    }
    Ok(v1::ReadFileRequest {
        capture: name,
        file,
        offset,
        length,
        reason: "through the coordinator".to_owned(),
    })
}

/// Forwards a file.
pub(super) async fn read(
    client: Client,
    request: v1::ReadFileRequest,
    sink: mpsc::Sender<Result<v1::ReadClusterFileResponse, Status>>,
) -> Result<(), Status> {
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
