//! The scene of these tests: an API server alone, a daemon as the only node, a pod, and a coordinator.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    cluster::Cluster,
    coordinator::{self, ClusterClient},
    daemon::Daemon,
    gate,
    lab::Lab,
    netns::Namespace,
    process::Process,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

/// The API server's address in the network that it makes; the node of this test has the same.
pub(crate) const SERVER: &str = "198.18.0.1";
pub(crate) const API: &str = "198.18.0.1:9444";
pub(crate) const POD: &str = "198.18.0.77";
/// The address of a pod that is not there.
const NOBODY: &str = "198.18.0.78";

/// An API server alone, a daemon as the only node, a pod, and a coordinator.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) cluster: Cluster,
    pub(crate) network: Namespace,
    pub(crate) pod: Namespace,
    pub(crate) daemon: Daemon,
    pub(crate) coordinator: Process,
    _directory: TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.end() {
            eprintln!("the API server did not end: {error:#}");
        }
    }
}

/// Where the programs of Kubernetes are; none if this machine has none, which has been reported.
pub(crate) fn assets() -> Result<Option<PathBuf>> {
    let assets = env::var_os("CAPTURE_TEST_CLUSTER_ASSETS").map(PathBuf::from);
    let found = assets.filter(|path| path.join("kube-apiserver").is_file());
    if found.is_none() {
        gate::cannot_run("no Kubernetes API server to test with (`cargo xtask test` builds it)")?;
    }
    Ok(found)
}

impl Scene {
    /// Starts everything. The name is part of those of network namespaces.
    pub(crate) fn start(assets: &Path, name: &str) -> Result<Self> {
        let (lab, directory) = (Lab::new()?, TempDir::with_prefix("capture-api-")?);
        let name = format!("cap{name}-{}", std::process::id());
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
        place(&cluster, "desk", "web", &json!({ "app": "web" }), NOBODY)?;
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

    /// A client with a token.
    pub(crate) fn client(&self, token: &str) -> Result<ClusterClient> {
        ClusterClient::connect(&self.network, API, &self.lab.authority, None, token)
    }

    /// A token of a service account in `shop`.
    pub(crate) fn token(&self, name: &str) -> Result<String> {
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
        let token = answer["status"]["token"].as_str().context("no token")?;
        Ok(token.to_owned())
    }

    /// A client with a token of a service account in `shop`.
    pub(crate) fn user(&self, name: &str) -> Result<ClusterClient> {
        self.client(&self.token(name)?)
    }

    /// Changes the status of a pod, as its kubelet does.
    pub(crate) fn change_status(
        &self,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<()> {
        change_status(&self.cluster, namespace, name, change)
    }

    /// The configuration of a client within the network, with the administrator's certificate.
    pub(crate) fn configuration(&self) -> Result<Value> {
        configuration(&self.cluster)
    }

    /// The phase of a resource.
    pub(crate) fn phase(&self, name: &str) -> Result<String> {
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

fn configuration(cluster: &Cluster) -> Result<Value> {
    // The administrator's configuration is for clients outside the network.
    let mut configuration: Value =
        serde_json::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    configuration["clusters"][0]["cluster"]["server"] = format!("https://{SERVER}:6443").into();
    Ok(configuration)
}

fn coordinate(lab: &Lab, cluster: &Cluster, network: &Namespace) -> Result<Process> {
    let file = lab.directory.path().join("kubeconfig");
    fs::write(&file, configuration(cluster)?.to_string())?;
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
    change_status(cluster, namespace, name, |status| {
        status["phase"] = "Running".into();
        status["podIP"] = address.into();
        status["podIPs"] = json!([{ "ip": address }]);
    })
}

fn change_status(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let mut pod = cluster.kubectl_json(&["get", "pod", "-n", namespace, name])?;
    change(&mut pod["status"]);
    let file = cluster.directory().join("pod.json");
    fs::write(&file, pod.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
    let file = file.display().to_string();
    cluster.kubectl(&["replace", "--raw", &path, "-f", &file])?;
    Ok(())
}

/// A node, namespaces, and users: alice may write captures and read packets of pods in shop, bob too, but not read its
/// pods, carol may see packets but no files, and write nothing; dave may write captures and read packets of pods in desk.
const OBJECTS: &str = r#"
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: left}
  status: {allocatable: {cpu: "2", memory: 2Gi}, conditions: [{type: Ready, status: "True"}]}
- {apiVersion: v1, kind: Namespace, metadata: {name: capture}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: Namespace, metadata: {name: desk}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: capture}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: desk}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: alice, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: bob, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: carol, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: dave, namespace: shop}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: see}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs, packetcaptureconfigs/stream], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: files}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs/files], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: write}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs], verbs: [create, patch, delete]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: write}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: write}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: bob, namespace: shop}
  - {kind: ServiceAccount, name: dave, namespace: shop}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: see}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: see}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: bob, namespace: shop}
  - {kind: ServiceAccount, name: dave, namespace: shop}
  - {kind: ServiceAccount, name: carol, namespace: shop}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: files}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: files}
  subjects:
  - {kind: ServiceAccount, name: alice, namespace: shop}
  - {kind: ServiceAccount, name: bob, namespace: shop}
  - {kind: ServiceAccount, name: dave, namespace: shop}
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
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: pods, namespace: desk}
  rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: pods, namespace: desk}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pods}
  subjects:
  - {kind: ServiceAccount, name: dave, namespace: shop}
"#;

/// Fails unless a call was refused with this code, and a message with this part.
pub(crate) fn refused(
    result: Result<impl Sized, Box<tonic::Status>>,
    code: Code,
    part: &str,
) -> Result<()> {
    let Err(status) = result else {
        anyhow::bail!("not refused: {part}")
    };
    ensure!(
        status.code() == code && status.message().contains(part),
        "no {code:?} with {part:?} but {status}"
    );
    Ok(())
}
