//! Who may read packets: a real API server decides, by token and RBAC.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, stream_cluster_packets_response::Event};
use capture_tests::{
    cluster::Cluster,
    coordinator::{self, ClusterClient},
    daemon::Daemon,
    gate,
    lab::{Lab, wait_for_reader},
    netns::Namespace,
    pods::{PORT, send},
    process::Process,
    wait,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

/// The API server's address in the network that it makes; the node of this test has the same.
const SERVER: &str = "198.18.0.1";
const API: &str = "198.18.0.1:9444";
const POD: &str = "198.18.0.77";
const PACKETS: u32 = 60;

/// An API server alone, a daemon as the only node, a pod, and a coordinator.
struct Scene {
    lab: Lab,
    cluster: Cluster,
    network: Namespace,
    pod: Namespace,
    daemon: Daemon,
    coordinator: Process,
    _directory: TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.end() {
            eprintln!("the API server did not end: {error:#}");
        }
    }
}

fn assets() -> Result<Option<PathBuf>> {
    let assets = env::var_os("CAPTURE_TEST_CLUSTER_ASSETS").map(PathBuf::from);
    let found = assets.filter(|path| path.join("kube-apiserver").is_file());
    if found.is_none() {
        gate::cannot_run("no Kubernetes API server to test with (`cargo xtask test` builds it)")?;
    }
    Ok(found)
}

impl Scene {
    fn start(assets: &Path) -> Result<Self> {
        let (lab, directory) = (Lab::new()?, TempDir::with_prefix("capture-api-")?);
        let name = format!("capapi-{}", std::process::id());
        let cluster = Cluster::start(directory.path(), assets, &name, 0)?;
        let network = cluster.network();
        let pod = Namespace::new()?;
        network.ip(&format!(
            "link add pod0 type veth peer name eth0 netns {}",
            pod.name()
        ))?;
        for step in ["link set pod0 master br0", "link set pod0 up"] {
            network.ip(step)?;
        }
        pod.ip(&format!("addr add {POD}/24 dev eth0"))?;
        pod.ip("link set eth0 up")?;
        let daemon = lab.daemon(&network, SERVER, "left")?;
        let definition = definition()?;
        cluster.apply(&definition)?;
        cluster.apply(OBJECTS)?;
        place(
            &cluster,
            "capture",
            "daemon",
            &json!({ "app.kubernetes.io/component": "daemon" }),
            SERVER,
        )?;
        place(&cluster, "shop", "web", &json!({ "app": "web" }), POD)?;
        let coordinator = coordinate(&lab, &cluster, &network)?;
        Ok(Self {
            lab,
            cluster,
            network,
            pod,
            daemon,
            coordinator,
            _directory: directory,
        })
    }

    fn client(&self, token: &str) -> Result<ClusterClient> {
        ClusterClient::connect(&self.network, API, &self.lab.authority, None, token)
    }

    /// A client with a token of a service account.
    fn user(&self, name: &str) -> Result<ClusterClient> {
        let path = format!("/api/v1/namespaces/shop/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {},
        });
        let file = self.lab.directory.path().join("request.json");
        fs::write(&file, request.to_string())?;
        let file = file.display().to_string();
        let answer = self
            .cluster
            .kubectl(&["create", "--raw", &path, "-f", &file])?;
        let answer: Value = serde_json::from_str(&answer)?;
        self.client(answer["status"]["token"].as_str().context("no token")?)
    }

    fn phase(&self, name: &str) -> Result<String> {
        let resource = self
            .cluster
            .kubectl_json(&["get", "packetcaptureconfigs", name])?;
        Ok(resource["status"]["phase"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }
}

/// The definition that older servers take, as the coordinator prints it.
fn definition() -> Result<String> {
    let output = std::process::Command::new(coordinator::program()?)
        .args(["crd", "--without-cel"])
        .output()?;
    ensure!(output.status.success(), "crd: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn coordinate(lab: &Lab, cluster: &Cluster, network: &Namespace) -> Result<Process> {
    // The administrator's configuration is for clients outside the network.
    let mut configuration: Value =
        serde_json::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    configuration["clusters"][0]["cluster"]["server"] = format!("https://{SERVER}:6443").into();
    let file = lab.directory.path().join("kubeconfig");
    fs::write(&file, configuration.to_string())?;
    let mut options = lab.options(API);
    options.extend(["--namespace", "capture", "--identity", "one"].map(str::to_owned));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut process = coordinator::start(network, &[("KUBECONFIG", &file)], &options)?;
    process.wait_for_stderr("connected")?;
    process.wait_for_stderr("this coordinator leads")?;
    Ok(process)
}

/// A pod that runs on the node `left`, as its kubelet would tell.
fn place(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    labels: &Value,
    address: &str,
) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": {
            "nodeName": "left",
            "hostNetwork": address == SERVER,
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{ "name": "main", "image": "none" }],
        },
    });
    cluster.apply(&pod.to_string())?;
    let mut pod = cluster.kubectl_json(&["get", "pod", "-n", namespace, name])?;
    let status = &mut pod["status"];
    status["phase"] = "Running".into();
    status["podIP"] = address.into();
    status["podIPs"] = json!([{ "ip": address }]);
    let file = cluster.directory().join("pod.json");
    fs::write(&file, pod.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
    let file = file.display().to_string();
    cluster.kubectl(&["replace", "--raw", &path, "-f", &file])?;
    Ok(())
}

/// A node, namespaces, and users: alice may read packets of pods in shop, bob may not read its pods, carol may
/// see packets but no files.
const OBJECTS: &str = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: left}}
- {apiVersion: v1, kind: Namespace, metadata: {name: capture}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: capture}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: alice, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: bob, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: carol, namespace: shop}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: see}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs, packetcaptureconfigs/stream], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: files}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs/files], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: see}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: see}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: bob, namespace: shop}
  - {kind: ServiceAccount, name: carol, namespace: shop}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: files}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: files}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: bob, namespace: shop}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: pods, namespace: shop}
  rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: pods, namespace: shop}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pods}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: carol, namespace: shop}
"#;

fn resource(name: &str, spec: Value) -> String {
    json!({
        "apiVersion": "networking.packet.io/v1",
        "kind": "PacketCaptureConfig",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

fn stream(
    client: &ClusterClient,
    name: &str,
) -> Result<tonic::Streaming<v1::StreamClusterPacketsResponse>, Box<tonic::Status>> {
    let message = v1::StreamClusterPacketsRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let request = client
        .request(message)
        .map_err(|error| Box::new(tonic::Status::internal(error.to_string())))?;
    let answer = client.wait(client.service.clone().stream_cluster_packets(request));
    answer.map(tonic::Response::into_inner).map_err(Box::new)
}

fn files(
    client: &ClusterClient,
    name: &str,
) -> Result<Vec<v1::ClusterNodeFiles>, Box<tonic::Status>> {
    let message = v1::ListClusterFilesRequest {
        name: name.to_owned(),
    };
    let request = client
        .request(message)
        .map_err(|error| Box::new(tonic::Status::internal(error.to_string())))?;
    let answer = client.wait(client.service.clone().list_cluster_files(request));
    answer
        .map(|answer| answer.into_inner().nodes)
        .map_err(Box::new)
}

fn refused(result: Result<impl Sized, Box<tonic::Status>>, code: Code, part: &str) -> Result<()> {
    let Err(status) = result else {
        anyhow::bail!("not refused: {part}")
    };
    ensure!(
        status.code() == code && status.message().contains(part),
        "no {code:?} with {part:?} but {status}"
    );
    Ok(())
}

#[test]
fn a_resource_becomes_a_capture_of_its_pod_and_rbac_decides_who_may_read_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let Some(assets) = assets()? else {
        return Ok(());
    };
    let scene = Scene::start(&assets)?;
    let pods =
        json!({ "labelSelector": { "matchLabels": { "app": "web" } }, "namespaces": ["shop"] });
    let spec = json!({ "podSelector": pods, "targetPorts": [PORT], "duration": 600, "outputFormat": "pcapng" });
    scene.cluster.apply(&resource("web", spec))?;
    wait::until_true(
        "the capture to run",
        || Ok(scene.phase("web")? == "Running"),
    )
    .with_context(|| scene.coordinator.stderr())?;

    let nobody = scene.client("")?;
    refused(stream(&nobody, "web"), Code::Unauthenticated, "token")?;
    let foreign = scene.client("not.a.token")?;
    refused(
        stream(&foreign, "web"),
        Code::Unauthenticated,
        "does not accept",
    )?;
    let bob = scene.user("bob")?;
    refused(
        stream(&bob, "web"),
        Code::PermissionDenied,
        "get pods in namespace shop",
    )?;
    let carol = scene.user("carol")?;
    refused(
        files(&carol, "web"),
        Code::PermissionDenied,
        "packetcaptureconfigs/files",
    )?;
    drop(stream(&carol, "web")?);
    let alice = scene.user("alice")?;
    refused(stream(&alice, "other"), Code::NotFound, "other")?;

    // What alice sees, and what is on the node, is what the pod sent.
    let mut events = stream(&alice, "web")?;
    wait_for_reader(&scene.daemon)?;
    send(&scene.pod, &scene.network, SERVER.parse()?, PACKETS)?;
    let mut seen = 0;
    while seen < PACKETS as usize {
        let event = alice
            .wait(events.message())?
            .context("the stream ended early")?;
        if let Some(Event::Packets(batch)) = event.event {
            seen += batch.packets.len();
        }
    }
    ensure!(seen == PACKETS as usize, "{seen} packets");
    let ended = scene.daemon.client()?.stop("web")?;
    capture_tests::daemon::wrote_all(&ended, PACKETS.into())?;
    wait::until_true("the resource to be complete", || {
        Ok(scene.phase("web")? == "Completed")
    })
    .with_context(|| scene.coordinator.stderr())?;
    let listed = files(&alice, "web")?;
    ensure!(
        listed.len() == 1 && !listed[0].files[0].digest.is_empty(),
        "{listed:?}"
    );
    let log = scene.coordinator.stderr();
    for part in ["shop:bob", "refused", "shop:alice"] {
        ensure!(log.contains(part), "no {part:?} in the log: {log}");
    }
    a_lost_daemon_does_not_hold_up_deletion(scene)
}

/// The daemon is killed with a capture running, its node is gone: the resource can be deleted.
fn a_lost_daemon_does_not_hold_up_deletion(mut scene: Scene) -> Result<()> {
    let spec = json!({ "targetIPs": [POD], "duration": 600 });
    scene.cluster.apply(&resource("lost", spec))?;
    wait::until_true("the capture to run", || {
        Ok(scene.phase("lost")? == "Running")
    })?;
    scene
        .daemon
        .process()
        .signal(rustix::process::Signal::KILL)?;
    scene.cluster.kubectl(&["delete", "node", "left"])?;
    let words = [
        "delete",
        "--force",
        "--grace-period=0",
        "pod",
        "-n",
        "capture",
        "daemon",
    ];
    scene.cluster.kubectl(&words)?;
    wait::until_true("the lost node to be told", || {
        Ok(scene.phase("lost")? == "Degraded")
    })?;
    scene
        .cluster
        .kubectl(&["delete", "--wait=false", "packetcaptureconfigs", "lost"])?;
    wait::within(Duration::from_secs(90), "the resource to be gone", || {
        let words = ["get", "packetcaptureconfigs", "lost", "--ignore-not-found"];
        Ok(scene.cluster.kubectl(&words)?.is_empty().then_some(()))
    })
    .with_context(|| scene.coordinator.stderr())
}
