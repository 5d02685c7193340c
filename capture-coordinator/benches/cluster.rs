//! What a large cluster costs the coordinator: fake daemons that answer the API without capturing, and a real API
//! server. Prints the coordinator's memory, its requests to the API server, and the time from a change of a pod
//! to its node's daemon.
//!
//! `cargo xtask bench cluster` starts the API server. By itself: `KUBECONFIG` names an API server that holds nothing
//! else, as an administrator; `COORDINATOR` the program.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    net::SocketAddr,
    pin::Pin,
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use capture_coordinator::resource::{Cel, PacketCaptureConfig, definition};
use capture_proto::v1::{
    self,
    capture_service_server::{CaptureService, CaptureServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    api::core::v1::{Node, Pod, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, transport::Server};

const PORT: u16 = 18_080;
/// Changes of pods.
const PER_SECOND: u64 = 100;

fn number(name: &str, default: usize) -> Result<usize> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

/// All fake daemons, told apart by the address that they are called at.
#[derive(Clone, Default)]
struct Daemons {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    captures: HashMap<SocketAddr, BTreeMap<String, v1::Capture>>,
    watchers: HashMap<SocketAddr, mpsc::UnboundedSender<Result<v1::WatchCapturesResponse, Status>>>,
    /// When each address of a pod was first told to its daemon.
    told: HashMap<String, Instant>,
    starts: u64,
    updates: u64,
}

impl Daemons {
    fn lock(&self) -> MutexGuard<'_, State> {
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

/// The coordinator, ended when this is dropped.
struct Coordinator(Child);

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Coordinator {
    /// A line of its status in kilobytes.
    fn kilobytes(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(text.context("not in the status")?.trim().parse()?)
    }
}

fn pod(number: usize, nodes: usize, resources: usize) -> Pod {
    let made = json!({
        "metadata": {
            "name": format!("pod-{number}"),
            "namespace": "default",
            "labels": { "app": format!("app-{}", number % resources) },
        },
        "spec": {
            // The pods of one resource are on many nodes.
            "nodeName": format!("node-{}", (number * 7 + number / resources) % nodes),
            "containers": [{ "name": "main", "image": "none" }],
        },
    });
    serde_json::from_value(made).unwrap_or_default()
}

fn daemon(number: usize) -> Pod {
    let made = json!({
        "metadata": {
            "name": format!("daemon-{number}"),
            "namespace": "default",
            "labels": { "app.kubernetes.io/component": "daemon" },
        },
        "spec": {
            "nodeName": format!("node-{number}"),
            "hostNetwork": true,
            "containers": [{ "name": "main", "image": "none" }],
        },
    });
    serde_json::from_value(made).unwrap_or_default()
}

async fn runs(pods: &Api<Pod>, name: &str, address: &str) -> Result<()> {
    let status = json!({ "status": {
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
    } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// An address of a pod: the second byte tells the round.
fn address(round: u8, number: usize) -> String {
    format!("10.{round}.{}.{}", number >> 8, number & 255)
}

/// Requests that an API server has answered.
#[derive(Clone, Copy)]
struct Requests {
    lists: u64,
    all: u64,
}

impl Requests {
    /// From the server's own metrics; watches are long requests and not counted here.
    async fn of(client: &Client) -> Result<Self> {
        let text = client
            .request_text(tonic::codegen::http::Request::get("/metrics").body(Vec::new())?)
            .await?;
        let mut requests = Self { lists: 0, all: 0 };
        for line in text.lines() {
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else {
                continue;
            };
            let of_the_coordinator = [
                "pods",
                "nodes",
                "packetcaptureconfigs",
                "configmaps",
                "events",
                "leases",
            ];
            if !of_the_coordinator
                .iter()
                .any(|resource| labels.contains(&format!("resource=\"{resource}\"")))
            {
                continue;
            }
            let number: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
            let number = number as u64;
            if labels.contains("verb=\"LIST\"") {
                requests.lists += number;
            }
            if !labels.contains("verb=\"WATCH\"") {
                requests.all += number;
            }
        }
        Ok(requests)
    }
}

async fn fill(client: &Client, nodes: usize, pods: usize, resources: usize) -> Result<()> {
    // Nothing else makes it without controllers, and no pod is admitted without it.
    let account =
        json!({ "metadata": { "name": "default" }, "automountServiceAccountToken": false });
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &serde_json::from_value(account)?)
        .await?;
    let definition = serde_json::from_value(definition(Cel::Without)?)?;
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    definitions
        .create(&PostParams::default(), &definition)
        .await?;
    let node_api = Api::<Node>::all(client.clone());
    let pod_api = Api::<Pod>::namespaced(client.clone(), "default");
    let at_once = 64;
    let made = (0..nodes).map(|number| {
        let (node_api, pod_api) = (node_api.clone(), pod_api.clone());
        async move {
            let node = json!({ "metadata": { "name": format!("node-{number}") } });
            let node = serde_json::from_value(node)?;
            node_api.create(&PostParams::default(), &node).await?;
            let daemon = daemon(number);
            pod_api.create(&PostParams::default(), &daemon).await?;
            let address = format!("127.1.{}.{}", number >> 8, number & 255);
            runs(&pod_api, &format!("daemon-{number}"), &address).await
        }
    });
    stream::iter(made)
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    let made = (0..pods).map(|number| {
        let pod_api = pod_api.clone();
        async move {
            let pod = pod(number, nodes, resources);
            pod_api.create(&PostParams::default(), &pod).await?;
            runs(&pod_api, &format!("pod-{number}"), &address(0, number)).await
        }
    });
    stream::iter(made)
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    let resource_api = Api::<PacketCaptureConfig>::all(client.clone());
    for number in 0..resources {
        let resource = json!({
            "apiVersion": "networking.packet.io/v1",
            "kind": "PacketCaptureConfig",
            "metadata": { "name": format!("capture-{number}") },
            "spec": {
                "podSelector": { "labelSelector": { "matchLabels": { "app": format!("app-{number}") } } },
                "duration": 86_400,
            },
        });
        let resource = serde_json::from_value(resource)?;
        resource_api
            .create(&PostParams::default(), &resource)
            .await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let (nodes, pods) = (number("NODES", 1000)?, number("PODS", 10_000)?);
    let (resources, seconds) = (number("RESOURCES", 500)?, number("SECONDS", 30)?);
    let Ok(program) = env::var("COORDINATOR") else {
        println!("not measured: `cargo xtask bench cluster` sets COORDINATOR and KUBECONFIG");
        return Ok(());
    };
    let daemons = Daemons::default();
    let served = Server::builder()
        .add_service(CaptureServiceServer::new(daemons.clone()))
        .add_service(NodeServiceServer::new(daemons.clone()))
        .serve(SocketAddr::from(([0, 0, 0, 0], PORT)));
    let served = tokio::spawn(served);
    let client = Client::try_default().await?;
    let begun = Instant::now();
    fill(&client, nodes, pods, resources).await?;
    println!(
        "{nodes} nodes, {pods} pods, {resources} resources made in {:?}",
        begun.elapsed()
    );
    let log = std::fs::File::create("coordinator.log")?;
    let begun = Instant::now();
    let coordinator = Command::new(program)
        .args(["--daemon-insecure", "--lease", "", "--namespace", "default"])
        .args(["--agent-port", &PORT.to_string(), "--log-level", "warn"])
        .stderr(log)
        .spawn()?;
    let coordinator = Coordinator(coordinator);
    let wanted = pods;
    while daemons.lock().told.len() < wanted && begun.elapsed() < Duration::from_secs(300) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{} of {wanted} pods told to their daemons {:?} after the start; {} MiB",
        daemons.lock().told.len(),
        begun.elapsed(),
        coordinator.kilobytes("VmRSS:")? / 1024
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let changes = usize::try_from(PER_SECOND)? * seconds;
    let pod_api = Api::<Pod>::namespaced(client.clone(), "default");
    let before = Requests::of(&client).await?;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for change in 0..changes.min(pods) {
        tick.tick().await;
        let pod_api = pod_api.clone();
        tasks.spawn(async move {
            let address = address(1, change);
            runs(&pod_api, &format!("pod-{change}"), &address).await?;
            Ok::<_, anyhow::Error>((address, Instant::now()))
        });
    }
    let mut changed = Vec::new();
    while let Some(done) = tasks.join_next().await {
        changed.push(done??);
    }
    let rate = changed.len() as f64 / begun.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = Requests::of(&client).await?;
    let state = daemons.lock();
    // The answer of the API server may come after the daemon's call.
    let mut waits: Vec<Duration> = changed
        .iter()
        .filter_map(|(address, at)| Some(state.told.get(address)?.saturating_duration_since(*at)))
        .collect();
    waits.sort();
    let at = |part: usize| {
        waits
            .get(waits.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{} of {} changes, {rate:.0} a second, told to daemons: p50 {:?}, p99 {:?}, longest {:?}",
        waits.len(),
        changed.len(),
        at(500),
        at(990),
        waits.last().copied().unwrap_or_default()
    );
    let lists = after.lists - before.lists;
    // Each change is a request of this program.
    let requests = (after.all - before.all).saturating_sub(changed.len() as u64);
    println!(
        "coordinator and API server meanwhile: {lists} lists, {requests} requests, {:.2} per change",
        requests as f64 / changed.len().max(1) as f64
    );
    println!(
        "coordinator: {} MiB now, {} MiB at most; {} starts, {} updates",
        coordinator.kilobytes("VmRSS:")? / 1024,
        coordinator.kilobytes("VmHWM:")? / 1024,
        state.starts,
        state.updates
    );
    served.abort();
    Ok(())
}
