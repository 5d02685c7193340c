//! The gRPC API: connects its types and the manager.

use std::{sync::Arc, time::Duration};

use capture_proto::v1::{
    self, FILE_DESCRIPTOR_SET, capture_service_server::CaptureServiceServer,
    file_service_server::FileServiceServer, node_service_server::NodeServiceServer,
};
use tonic::{Status, codec::CompressionEncoding, transport::Server};

mod access;
mod body;
mod bounds;
mod captures;
mod compile;
mod convert;
mod files;
mod listen;
mod memory;
mod node;
mod packets;
mod peer;
mod status;
mod stream;
mod too_large;

pub use self::{
    compile::Compilers,
    convert::Defaults,
    listen::{ConnectionLimits, ListenError, Listener, SocketFile},
    memory::ClientMemory,
    node::NodeInfo,
    peer::Peer,
};
use crate::{
    log::LogLevel,
    manager::{Capture, Manager},
};

/// State shared by the services.
#[derive(Clone)]
pub struct Context {
    /// The captures.
    pub manager: Manager,
    /// Defaults for requests.
    pub defaults: Arc<Defaults>,
    /// Properties of the node.
    pub node: Arc<NodeInfo>,
    /// The log level.
    pub log: LogLevel,
    /// Memory for requests and streams.
    pub memory: Arc<ClientMemory>,
    /// The queue for compiling filters.
    pub compilers: Arc<Compilers>,
}

/// The capture of this name.
fn capture(manager: &Manager, field: &str, name: &str) -> Result<Arc<Capture>, Status> {
    if name.is_empty() {
        return Err(status::invalid(
            field,
            "it is empty: give the name of a capture",
        ));
    }
    let mut wrong = status::Violations::default();
    wrong.at_most(field, name, bounds::CAPTURE_NAME);
    wrong.check()?;
    Ok(manager.get(name)?)
}

/// Concurrent requests on one connection, streams included.
const REQUESTS_PER_CONNECTION: u32 = 64;

/// Bytes that a client may send on one stream, and on one connection, before the daemon has read
/// them.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// Maximum size of a request's headers.
const LARGEST_HEADERS: u32 = 16 << 10;

/// A client that disappeared without closing the connection is noticed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves clients of one listener until the manager closes.
pub async fn serve(context: Context, listener: Listener) -> Result<(), tonic::transport::Error> {
    let captures = CaptureServiceServer::new(captures::Captures(context.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(bounds::LARGEST_MESSAGE);
    let files = FileServiceServer::new(files::Files(context.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(bounds::LARGEST_MESSAGE);
    let node = NodeServiceServer::new(node::Node(context.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(bounds::LARGEST_MESSAGE);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<CaptureServiceServer<captures::Captures>>()
        .await;
    reporter
        .set_serving::<FileServiceServer<files::Files>>()
        .await;
    reporter
        .set_serving::<NodeServiceServer<node::Node>>()
        .await;
    let closing = context.manager.clone();
    Server::builder()
        .max_concurrent_streams(REQUESTS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(LARGEST_HEADERS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .layer(too_large::TooLargeLayer)
        .layer(access::AccessLayer)
        .layer(body::BodyLayer(Arc::clone(&context.memory)))
        .add_service(captures)
        .add_service(files)
        .add_service(node)
        .add_service(health)
        .add_optional_service(reflection())
        .add_optional_service(reflection_alpha())
        .serve_with_incoming_shutdown(listener.incoming(), async move { closing.closing().await })
        .await
}

fn descriptors() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Without reflection the API still works.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
> {
    descriptors().build_v1().ok()
}

/// For clients that do not know the newer version.
fn reflection_alpha() -> Option<
    tonic_reflection::server::v1alpha::ServerReflectionServer<
        impl tonic_reflection::server::v1alpha::ServerReflection,
    >,
> {
    descriptors().build_v1alpha().ok()
}

/// Converts a request to start a capture, and drops the result.
pub(crate) fn convert_start(request: v1::StartCaptureRequest, defaults: &Defaults) {
    drop(convert::capture_request(request, defaults, "client"));
}

/// Converts a request to change a capture, likewise.
pub(crate) fn convert_update(request: &v1::UpdateCaptureRequest) {
    drop(convert::update(request));
}
