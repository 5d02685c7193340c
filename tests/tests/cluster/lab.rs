//! The cluster of the tests with the chart installed, and what tests ask it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use capture_image::{Architecture, Image, LibraryPath, Tree};
use capture_tests::{
    cluster::{Cluster, Helm, Node},
    gate, wait,
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const RELEASE: &str = "capture";
pub(crate) const NAMESPACE: &str = "capture-system";
/// The beginning of the names of clusters' directories.
const PREFIX: &str = "capture-cluster-";
/// The namespace of the pods that are captured.
pub(crate) const SHOP: &str = "shop";
pub(crate) const TALK_IMAGE: &str = "localhost/talk:1";
/// How long a busy machine may take to move pods and to capture them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The cluster.
pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) helm: Helm,
    directory: TempDir,
}

impl Lab {
    /// Starts everything; nothing where this machine cannot, which has been reported.
    pub(crate) fn start() -> Result<Option<Self>> {
        let places = ["ASSETS", "HELM", "IMAGES"].map(|name| {
            let value = env::var_os(format!("CAPTURE_TEST_CLUSTER_{name}"));
            value.map(PathBuf::from).filter(|path| path.exists())
        });
        let [Some(assets), Some(helm), Some(images)] = places else {
            gate::cannot_run(
                "no Kubernetes to test with (`cargo xtask test` builds it on x86-64 where the package sources are Debian 12's)",
            )?;
            return Ok(None);
        };
        if !assets.join("kubelet").is_file() {
            gate::cannot_run("Kubernetes could not be built on this machine")?;
            return Ok(None);
        }
        if !Path::new("/sys/fs/cgroup/memory").is_dir() {
            gate::cannot_run("this machine has cgroup v2 alone, and Kubernetes 1.20 needs v1")?;
            return Ok(None);
        }
        end_leftovers(&assets)?;
        let directory = TempDir::with_prefix(PREFIX)?;
        let name = format!("capcluster-{}", std::process::id());
        let cluster = Cluster::start(directory.path(), &assets, &name, 2)?;
        let lab = Self {
            cluster,
            helm: Helm::new(&helm),
            directory,
        };
        if let Err(error) = lab.fill(&images) {
            eprintln!("{}", lab.diagnosis());
            lab.cluster.end()?;
            return Err(error);
        }
        Ok(Some(lab))
    }

    fn fill(&self, images: &Path) -> Result<()> {
        let architecture = Architecture::native()?;
        for name in ["captured", "capture-coordinator", "capture-export"] {
            let file = images.join(format!("{name}-{}.tar", architecture.name()));
            self.cluster.import(&file)?;
        }
        let mut tree = Tree::default();
        let talk = Path::new(env!("CARGO_BIN_EXE_capture-talk"));
        tree.program(talk, "/capture-talk", &LibraryPath::of(architecture, &[]))?;
        let image = Image {
            name: TALK_IMAGE.to_owned(),
            architecture,
            entrypoint: vec!["/capture-talk".to_owned()],
            arguments: vec!["serve".to_owned()],
            user: "65532".to_owned(),
            labels: Vec::new(),
        };
        let file = self.directory.path().join("talk.tar");
        image.write(&tree, &file)?;
        self.cluster.import(&file)?;
        self.install(&[])?;
        self.cluster.kubectl(&["create", "namespace", SHOP])?;
        Ok(())
    }

    /// Installs the chart, or upgrades to other values, and waits for all pods.
    pub(crate) fn install(&self, values: &[&str]) -> Result<()> {
        let common = ["daemon.minFree=0", "daemon.logFormat=text"];
        let values = [&common[..], values].concat();
        self.helm
            .install(&self.cluster, RELEASE, NAMESPACE, &values)?;
        self.settle()
    }

    /// Waits until the daemons and the coordinators are as they should be.
    pub(crate) fn settle(&self) -> Result<()> {
        for what in ["daemonset/capture-daemon", "deployment/capture-coordinator"] {
            let words = ["-n", NAMESPACE, "rollout", "status", "--timeout=120s", what];
            self.cluster.kubectl(&words)?;
        }
        Ok(())
    }

    /// Defines a resource of somebody else, with any fields, and waits until it is served.
    pub(crate) fn define(&self, group: &str, kind: &str) -> Result<()> {
        let singular = kind.to_lowercase();
        let name = format!("{singular}s.{group}");
        let schema =
            serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let manifest = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "singular": singular, "plural": format!("{singular}s")},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        });
        self.cluster.apply(&manifest.to_string())?;
        let definition = format!("crd/{name}");
        let words = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &definition,
        ];
        self.cluster.kubectl(&words).map(drop)
    }

    /// An empty directory that every node sees.
    pub(crate) fn shared_directory(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("shared");
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        let mut nodes = self.cluster.nodes().iter();
        let found = nodes.find(|node| node.name == name);
        found.with_context(|| format!("no node {name}"))
    }

    /// The pod of the daemon on a node.
    pub(crate) fn daemon_on(&self, node: &str) -> Result<String> {
        let pods = self.pods(NAMESPACE, "app.kubernetes.io/component=daemon")?;
        let on_node = |pod: &&Value| pod["spec"]["nodeName"] == node && is_ready(pod);
        let found = pods.iter().find(on_node);
        let name = found.and_then(|pod| pod["metadata"]["name"].as_str());
        Ok(name
            .with_context(|| format!("no daemon on {node}"))?
            .to_owned())
    }

    /// Pods with a label.
    pub(crate) fn pods(&self, namespace: &str, label: &str) -> Result<Vec<Value>> {
        let words = ["-n", namespace, "get", "pods", "-l", label];
        let list = self.cluster.kubectl_json(&words)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Runs `capturectl` in the daemon's pod on a node.
    pub(crate) fn capturectl(&self, node: &str, words: &[&str]) -> Result<Value> {
        let pod = self.daemon_on(node)?;
        let exec = ["-n", NAMESPACE, "exec", &pod, "--", "/usr/bin/capturectl"];
        let text = self
            .cluster
            .kubectl(&[&exec[..], words, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("capturectl {words:?}: {text}"))
    }

    /// Applies a resource with this name and spec (JSON).
    pub(crate) fn capture(&self, name: &str, spec: &Value) -> Result<()> {
        let manifest = serde_json::json!({
            "apiVersion": "networking.packet.io/v1",
            "kind": "PacketCaptureConfig",
            "metadata": {"name": name},
            "spec": spec,
        });
        // A space in front: kubectl 1.20 takes what begins with a brace for one JSON document, which it is.
        self.cluster.apply(&manifest.to_string())
    }

    /// A resource as it is now.
    pub(crate) fn resource(&self, name: &str) -> Result<Value> {
        self.cluster
            .kubectl_json(&["get", "packetcaptureconfigs", name])
    }

    /// Waits until the status of a resource is as it should be, and returns the resource.
    pub(crate) fn wait_for(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait::within(PATIENCE, &format!("{name} to be {what}"), || {
            last = self.resource(name)?;
            Ok(is_so(&last["status"]).then(|| last.clone()))
        });
        found.with_context(|| format!("its status: {}", last["status"]))
    }

    pub(crate) fn wait_for_phase(&self, name: &str, phase: &str) -> Result<Value> {
        self.wait_for(name, phase, |status| status["phase"] == phase)
    }

    /// Deletes a resource, and waits until it is gone.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let words = ["delete", "packetcaptureconfigs", name, "--timeout=60s"];
        self.cluster.kubectl(&words).map(drop)
    }

    /// Removes what a test has left.
    pub(crate) fn clean(&self) -> Result<()> {
        let has_definition = self
            .cluster
            .kubectl(&["get", "crd", "packetcaptureconfigs.networking.packet.io"])
            .is_ok();
        if has_definition {
            let words = ["delete", "packetcaptureconfigs", "--all", "--timeout=60s"];
            self.cluster.kubectl(&words)?;
        }
        // With their ReplicaSets and pods: the next test may make a Deployment of the same name.
        let words = [
            "-n",
            SHOP,
            "delete",
            "deployments",
            "--all",
            "--cascade=foreground",
            "--timeout=120s",
        ];
        self.cluster.kubectl(&words).map(drop)
    }

    /// What helps to understand a failure.
    pub(crate) fn diagnosis(&self) -> String {
        let mut text = String::new();
        for words in [
            &["get", "pods", "--all-namespaces", "-o", "wide"][..],
            &["get", "packetcaptureconfigs", "-o", "yaml"],
            &[
                "get",
                "events",
                "--all-namespaces",
                "--sort-by=.lastTimestamp",
            ],
            &[
                "-n",
                NAMESPACE,
                "logs",
                "-l",
                "app.kubernetes.io/component=coordinator",
                "--tail=60",
                "--prefix",
            ],
            &[
                "-n",
                NAMESPACE,
                "logs",
                "-l",
                "app.kubernetes.io/component=daemon",
                "--tail=30",
                "--prefix",
            ],
        ] {
            let shown = self
                .cluster
                .kubectl(words)
                .unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = shown.lines().collect();
            let first = lines.len().saturating_sub(120);
            text += &format!(
                "--- kubectl {}\n{}\n",
                words.join(" "),
                lines[first..].join("\n")
            );
        }
        text
    }

    pub(crate) fn end(self) -> Result<()> {
        self.cluster.end()
    }
}

/// Ends clusters that killed test processes have left behind.
fn end_leftovers(assets: &Path) -> Result<()> {
    for entry in fs::read_dir(env::temp_dir())?.flatten() {
        let path = entry.path();
        let Ok(text) = fs::read_to_string(path.join("cluster")) else {
            continue;
        };
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let process = text.lines().next().and_then(|name| name.rsplit('-').next());
        let is_dead = process.is_some_and(|id| !Path::new("/proc").join(id).exists());
        if is_ours && is_dead {
            Cluster::open(&path, assets)?.end()?;
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "True")
        })
}

/// A number of a status, or an error that shows where it is missing.
pub(crate) fn number(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .with_context(|| format!("{value} is no number"))
}

/// Fails unless the ledger of every node adds up and nothing was lost; returns what all nodes have written.
pub(crate) fn written(resource: &Value) -> Result<u64> {
    let nodes = resource["status"]["nodes"].as_array();
    let mut sum = 0;
    for node in nodes.context("no nodes in the status")? {
        let ledger = &node["ledger"];
        let of = |name: &str| {
            number(&ledger[name]).with_context(|| format!("{name} of {}: {ledger}", node["name"]))
        };
        ensure!(of("seen")? == of("filtered")? + of("matched")?, "{ledger}");
        ensure!(
            of("matched")?
                == of("submitted")? + of("ringFull")? + of("unreadable")? + of("duplicate")?,
            "{ledger}"
        );
        ensure!(
            of("submitted")? == of("written")? + of("discarded")? + of("stopped")?,
            "{ledger}"
        );
        ensure!(
            of("matched")? == of("written")? + of("duplicate")?,
            "lost: {ledger}"
        );
        sum += of("written")?;
    }
    Ok(sum)
}
