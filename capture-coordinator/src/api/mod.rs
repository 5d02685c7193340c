//! The cluster API: captures on many nodes through one address, for users without rights on the nodes.

mod access;
mod certificate;
mod changes;
mod connection;
mod files;
mod nodes;
mod packets;
mod pending;
mod reader;
mod tls;

use std::{pin::Pin, sync::Arc, time::Duration};

use capture_proto::v1::{
    self,
    cluster_service_server::{ClusterService, ClusterServiceServer},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::{controller::Context, nodes::Nodes, settings::Listen};
use access::Access;
use changes::Changes;
use reader::Reader;

/// A stream of responses.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Limit of streams of packets and files of all clients together.
const STREAMS: usize = 128;
/// Concurrent requests of one connection.
const REQUESTS_PER_CONNECTION: u32 = 64;
/// Maximum size of a request: a filter and thousands of addresses.
const LARGEST_MESSAGE: usize = 256 << 10;
/// A client that disappeared without closing the connection is noticed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Time limit for an answer of a node.
const PATIENCE: Duration = Duration::from_secs(10);

/// The service.
#[derive(Clone)]
pub struct Cluster {
    nodes: Arc<Nodes>,
    access: Arc<Access>,
    changes: Changes,
    kubernetes: bool,
    streams: Arc<Semaphore>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// Serves the cluster API; with a context, of a Kubernetes cluster.
///
/// # Errors
/// The address cannot be listened on, or the certificate cannot be used.
pub async fn serve(
    listen: &Listen,
    nodes: Arc<Nodes>,
    context: Option<Arc<Context>>,
) -> anyhow::Result<()> {
    let incoming = tls::listen(listen).await?;
    let access = Arc::new(match &context {
        Some(context) => Access::kubernetes(context.client.clone(), context.resources.clone()),
        None => Access::Certificates,
    });
    let cluster = Cluster {
        kubernetes: context.is_some(),
        changes: Changes::new(Arc::clone(&nodes), Arc::clone(&access), context),
        nodes,
        access,
        streams: Arc::new(Semaphore::new(STREAMS)),
    };
    let service = ClusterServiceServer::new(cluster).max_decoding_message_size(LARGEST_MESSAGE);
    tracing::info!("the cluster API listens on {}", listen.address);
    Server::builder()
        .max_concurrent_streams(REQUESTS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(service)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

impl Cluster {
    /// A stream that ends when its reader is gone.
    fn answer<T, F>(
        &self,
        task: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F,
    ) -> Result<Response<Answers<T>>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{STREAMS} streams are open already"))
        })?;
        let (sink, answers) = mpsc::channel(4);
        let gone = sink.clone();
        let task = task(sink.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = gone.closed() => {}
                result = task => if let Err(status) = result {
                    // The reader may be gone.
                    let _ = sink.send(Err(status)).await;
                },
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    type StreamClusterPacketsStream = Answers<v1::StreamClusterPacketsResponse>;
    type ReadClusterFileStream = Answers<v1::ReadClusterFileResponse>;

    async fn list_cluster_nodes(
        &self,
        request: Request<v1::ListClusterNodesRequest>,
    ) -> Result<Response<v1::ListClusterNodesResponse>, Status> {
        self.access.see(&request, "ListClusterNodes", "").await?;
        let nodes = nodes::list(&self.nodes, self.kubernetes).await;
        Ok(Response::new(nodes))
    }

    async fn list_cluster_captures(
        &self,
        request: Request<v1::ListClusterCapturesRequest>,
    ) -> Result<Response<v1::ListClusterCapturesResponse>, Status> {
        let name = request.get_ref().name.clone();
        let visible = self
            .access
            .see(&request, "ListClusterCaptures", &name)
            .await?;
        let mut captures = nodes::captures(&self.nodes, &visible, &name).await;
        let resources = self.access.resources();
        let resources = resources.iter().map(AsRef::as_ref);
        pending::add(&mut captures.captures, resources, &visible, &name);
        if captures.captures.is_empty() && !name.is_empty() {
            return Err(unknown(&name));
        }
        Ok(Response::new(captures))
    }

    async fn stream_cluster_packets(
        &self,
        request: Request<v1::StreamClusterPacketsRequest>,
    ) -> Result<Response<Self::StreamClusterPacketsStream>, Status> {
        let name = request.get_ref().name.clone();
        let reader = Reader::of(
            &self.access,
            &request,
            "StreamClusterPackets",
            "stream",
            &name,
        );
        let (reader, nodes) = (reader.await?, Arc::clone(&self.nodes));
        let request = request.into_inner();
        self.answer(|sink| packets::stream(nodes, reader, request, sink))
    }

    async fn list_cluster_files(
        &self,
        request: Request<v1::ListClusterFilesRequest>,
    ) -> Result<Response<v1::ListClusterFilesResponse>, Status> {
        let name = request.get_ref().name.clone();
        let reader = Reader::of(&self.access, &request, "ListClusterFiles", "files", &name);
        let files = files::list(&self.nodes, &reader.await?, &name).await?;
        if files.nodes.is_empty() {
            return Err(unknown(&name));
        }
        Ok(Response::new(files))
    }

    async fn read_cluster_file(
        &self,
        request: Request<v1::ReadClusterFileRequest>,
    ) -> Result<Response<Self::ReadClusterFileStream>, Status> {
        let name = request.get_ref().name.clone();
        let reader = Reader::of(&self.access, &request, "ReadClusterFile", "files", &name);
        let (reader, request) = (reader.await?, request.into_inner());
        let client = files::place(&self.nodes, &reader, &request)?;
        let file = files::readable(&client, &reader, request).await?;
        self.answer(|sink| files::read(client, file, sink))
    }

    async fn start_cluster_capture(
        &self,
        request: Request<v1::StartClusterCaptureRequest>,
    ) -> Result<Response<v1::StartClusterCaptureResponse>, Status> {
        self.changes.carry_out(request).await
    }

    async fn update_cluster_capture(
        &self,
        request: Request<v1::UpdateClusterCaptureRequest>,
    ) -> Result<Response<v1::UpdateClusterCaptureResponse>, Status> {
        self.changes.carry_out(request).await
    }

    async fn stop_cluster_capture(
        &self,
        request: Request<v1::StopClusterCaptureRequest>,
    ) -> Result<Response<v1::StopClusterCaptureResponse>, Status> {
        self.changes.carry_out(request).await
    }

    async fn delete_cluster_capture(
        &self,
        request: Request<v1::DeleteClusterCaptureRequest>,
    ) -> Result<Response<v1::DeleteClusterCaptureResponse>, Status> {
        self.changes.carry_out(request).await
    }
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("no node has a capture {name:?}"))
}
