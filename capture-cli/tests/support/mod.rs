//! A node that is a server in the test.

use std::{os::unix::net::UnixListener as StdListener, pin::Pin};

use capture_proto::v1::{
    capture_service_server::{CaptureService, CaptureServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
};
use futures_util::{Stream, stream};
use tokio::{net::UnixListener, runtime::Runtime};
use tonic::{
    Response, Status,
    transport::{Server, server::Router},
};

pub(crate) type Answer<T> = Result<Response<T>, Status>;
pub(crate) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves a node on a unix socket while the runtime lives; `more` adds services.
pub(crate) fn serve<N>(
    node: N,
    listener: StdListener,
    more: impl FnOnce(Router) -> Router,
) -> Runtime
where
    N: CaptureService + NodeService + Clone,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = runtime
        .block_on(async { UnixListener::from_std(listener) })
        .unwrap();
    let incoming = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let router = Server::builder()
        .add_service(CaptureServiceServer::new(node.clone()))
        .add_service(NodeServiceServer::new(node));
    runtime.spawn(more(router).serve_with_incoming(incoming));
    runtime
}
