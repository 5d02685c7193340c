//! Simulated daemons: they answer the API, and capture nothing.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use capture_proto::v1::{
    self, capture_service_server::CaptureService, node_service_server::NodeService,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status};

/// All fake daemons, told apart by the address that they are called at.
#[derive(Clone, Default)]
pub(crate) struct Daemons {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    captures: HashMap<SocketAddr, BTreeMap<String, v1::Capture>>,
    watchers: HashMap<SocketAddr, mpsc::UnboundedSender<Result<v1::WatchCapturesResponse, Status>>>,
    /// When each address of a pod was first told to its daemon.
    pub(crate) told: HashMap<String, Instant>,
    pub(crate) starts: u64,
    pub(crate) updates: u64,
}

impl Daemons {
    /// What they know.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, at: SocketAddr, capture: v1::Capture, kind: v1::EventType) -> v1::Capture {
        let mut state = self.lock();
        let pods = capture.spec.iter().filter_map(|spec| spec.pods.as_ref());
        for pod in pods.flat_map(|selection| &selection.pods) {
            for address in &pod.addresses {
                state
                    .told
                    .entry(address.clone())
                    .or_insert_with(Instant::now);
            }
        }
        let captures = state.captures.entry(at).or_default();
        captures.insert(capture.name.clone(), capture.clone());
        let event = v1::WatchCapturesResponse {
            r#type: kind.into(),
            capture: Some(capture.clone()),
        };
        if let Some(watcher) = state.watchers.get(&at) {
            // One that is gone needs to know nothing.
            let _ = watcher.send(Ok(event));
        }
        capture
    }
}

fn local<T>(request: &Request<T>) -> Result<SocketAddr, Status> {
    request
        .local_addr()
        .ok_or_else(|| Status::internal("no local address"))
}

type Answers<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CaptureService for Daemons {
    type WatchCapturesStream = Answers<v1::WatchCapturesResponse>;
    type StreamPacketsStream = Answers<v1::StreamPacketsResponse>;

    async fn start_capture(
        &self,
        request: Request<v1::StartCaptureRequest>,
    ) -> Result<Response<v1::StartCaptureResponse>, Status> {
        let at = local(&request)?;
        let request = request.into_inner();
        self.lock().starts += 1;
        let capture = v1::Capture {
            uid: format!("{at}/{}", request.name),
            name: request.name,
            spec: request.spec,
            labels: request.labels,
            state: v1::CaptureState::Running.into(),
            generation: 1,
            ..v1::Capture::default()
        };
        let capture = Some(self.take(at, capture, v1::EventType::Added));
        Ok(Response::new(v1::StartCaptureResponse { capture }))
    }

    async fn update_capture(
        &self,
        request: Request<v1::UpdateCaptureRequest>,
    ) -> Result<Response<v1::UpdateCaptureResponse>, Status> {
        let at = local(&request)?;
        let request = request.into_inner();
        let known = {
            let mut state = self.lock();
            state.updates += 1;
            let captures = state.captures.get(&at);
            captures.and_then(|all| all.get(&request.name)).cloned()
        };
        let mut capture = known.ok_or_else(|| Status::not_found("no such capture"))?;
        capture.spec = request.spec;
        capture.labels = request.labels;
        capture.generation += 1;
        let capture = Some(self.take(at, capture, v1::EventType::Changed));
        Ok(Response::new(v1::UpdateCaptureResponse { capture }))
    }

    async fn watch_captures(
        &self,
        request: Request<v1::WatchCapturesRequest>,
    ) -> Result<Response<Self::WatchCapturesStream>, Status> {
        let at = local(&request)?;
        let synced = v1::WatchCapturesResponse {
            r#type: v1::EventType::Synced.into(),
            capture: None,
        };
        let (sender, events) = mpsc::unbounded_channel();
        // The receiver is here.
        let _ = sender.send(Ok(synced));
        self.lock().watchers.insert(at, sender);
        let events = UnboundedReceiverStream::new(events);
        Ok(Response::new(Box::pin(events)))
    }

    async fn stop_capture(
        &self,
        _: Request<v1::StopCaptureRequest>,
    ) -> Result<Response<v1::StopCaptureResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn get_capture(
        &self,
        _: Request<v1::GetCaptureRequest>,
    ) -> Result<Response<v1::GetCaptureResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn list_captures(
        &self,
        _: Request<v1::ListCapturesRequest>,
    ) -> Result<Response<v1::ListCapturesResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn delete_capture(
        &self,
        _: Request<v1::DeleteCaptureRequest>,
    ) -> Result<Response<v1::DeleteCaptureResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn stream_packets(
        &self,
        _: Request<v1::StreamPacketsRequest>,
    ) -> Result<Response<Self::StreamPacketsStream>, Status> {
        Err(Status::unimplemented("not simulated"))
    }
}

#[tonic::async_trait]
impl NodeService for Daemons {
    type WatchInterfacesStream = Answers<v1::WatchInterfacesResponse>;

    async fn get_node(
        &self,
        _: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let node = Some(v1::Node::default());
        Ok(Response::new(v1::GetNodeResponse { node }))
    }

    async fn list_interfaces(
        &self,
        _: Request<v1::ListInterfacesRequest>,
    ) -> Result<Response<v1::ListInterfacesResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn watch_interfaces(
        &self,
        _: Request<v1::WatchInterfacesRequest>,
    ) -> Result<Response<Self::WatchInterfacesStream>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn set_log_level(
        &self,
        _: Request<v1::SetLogLevelRequest>,
    ) -> Result<Response<v1::SetLogLevelResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }
}
