//! What a large cluster costs the coordinator: fake daemons that answer the API without capturing, and a real API
//! server. Prints the coordinator's memory, its requests to the API server, and the time from a change of a pod
//! to its node's daemon.
//!
//! `cargo xtask bench cluster` starts the API server. By itself: `KUBECONFIG` names an API server that holds nothing
//! else, as an administrator; `COORDINATOR` the program.

mod daemons;

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use capture_coordinator::resource::{Cel, PacketCaptureConfig, definition};
use capture_proto::v1::{
    capture_service_server::CaptureServiceServer, node_service_server::NodeServiceServer,
};
use daemons::Daemons;
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
use tonic::transport::Server;

const PORT: u16 = 18_080;
/// Changes of pods.
const PER_SECOND: u64 = 100;

fn number(name: &str, default: usize) -> Result<usize> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
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

fn sorted(mut durations: Vec<Duration>) -> Vec<Duration> {
    durations.sort();
    durations
}

/// The duration that so many thousandths do not exceed.
fn part(sorted: &[Duration], thousandths: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() * thousandths / 1000).min(last);
    sorted.get(at).copied().unwrap_or_default()
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
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("coordinator.log");
    let log = std::fs::File::create(log)?;
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
            let (address, asked) = (address(1, change), Instant::now());
            runs(&pod_api, &format!("pod-{change}"), &address).await?;
            Ok::<_, anyhow::Error>((address, asked, asked.elapsed()))
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
    // From the request to the API server on, so that its own work is a part of each wait.
    let waits = sorted(
        changed
            .iter()
            .filter_map(|(address, asked, _)| {
                Some(state.told.get(address)?.saturating_duration_since(*asked))
            })
            .collect(),
    );
    println!(
        "{} of {} changes, {rate:.0} a second, told to daemons: p50 {:?}, p99 {:?}, longest {:?}",
        waits.len(),
        changed.len(),
        part(&waits, 500),
        part(&waits, 990),
        part(&waits, 1000)
    );
    let answers = sorted(changed.iter().map(|(_, _, answer)| *answer).collect());
    println!(
        "of that the API server, until it has answered: p50 {:?}, p99 {:?}, longest {:?}",
        part(&answers, 500),
        part(&answers, 990),
        part(&answers, 1000)
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
