//! Nodes: real kubelets and containerds, each in separate namespaces.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    control_plane::{ADDRESS, ControlPlane, ip_in},
    keys::{Keys, Use},
    processes::Processes,
};
use crate::{netns, wait};

const SCRIPT: &str = include_str!("node.sh");

/// A node of a cluster, from 1 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// Its address in the network of the nodes.
    pub address: String,
    number: usize,
}

impl Node {
    /// The node with this number.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("node{number}"),
            address: format!("198.18.0.{}", number + 10),
            number,
        }
    }

    /// The addresses of its pods.
    fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// Writes the configuration of its services.
    pub(super) fn configure(&self, run: &Path, keys: &Keys) -> Result<()> {
        let own = run.join(&self.name);
        fs::create_dir_all(own.join("cni")).context("creating the directory of a node")?;
        let (user, group) = (format!("system:node:{}", self.name), "system:nodes");
        let names = [self.address.clone(), self.name.clone()];
        let serving = format!("{}-serving", self.name);
        keys.sign(&serving, &user, group, &Use::Server(&names))?;
        keys.configure(&self.name, &user, group, &format!("{ADDRESS}:6443"))?;
        fs::write(run.join("node.sh"), SCRIPT)?;
        fs::write(own.join("resolv.conf"), "")?;
        fs::write(own.join("containerd.toml"), CONTAINERD)?;
        let network = json!({
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": self.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                }},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(own.join("cni/10-pods.conflist"), network.to_string())?;
        let kubelet = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": keys.path("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": keys.path(&format!("{serving}.crt")),
            "tlsPrivateKeyFile": keys.path(&format!("{serving}.key")),
            "cgroupDriver": "cgroupfs",
            "clusterDomain": "cluster.local",
            "resolvConf": own.join("resolv.conf"),
            // The disk is shared with everything else on the machine: a full disk is no reason to evict
            // pods.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "0%",
                "imagefs.available": "0%",
                "nodefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "5s",
        });
        fs::write(own.join("kubelet.json"), kubelet.to_string())?;
        Ok(())
    }

    /// Connects it to the network, and starts it.
    pub(super) fn start(
        &self,
        run: &Path,
        assets: &Path,
        cluster: &str,
        nodes: &[Self],
        processes: &Processes,
    ) -> Result<()> {
        let (own, lan) = (self.namespace(cluster), ControlPlane::namespace(cluster));
        netns::run("ip", &["netns", "add", &own])?;
        ip_in(&own, "link set lo up")?;
        let name = &self.name;
        ip_in(
            &lan,
            &format!("link add {name} type veth peer name eth0 netns {own}"),
        )?;
        ip_in(&lan, &format!("link set {name} master br0 up"))?;
        ip_in(&own, &format!("addr add {}/24 dev eth0", self.address))?;
        ip_in(&own, "link set eth0 up")?;
        ip_in(&own, &format!("route add default via {ADDRESS}"))?;
        ip_in(
            &lan,
            &format!("route add {} via {}", self.pods(), self.address),
        )?;
        for other in nodes.iter().filter(|other| *other != self) {
            ip_in(
                &own,
                &format!("route add {} via {}", other.pods(), other.address),
            )?;
        }
        let mut command = Command::new("bash");
        command
            .arg(run.join("node.sh"))
            .arg("enter")
            .args([run, assets])
            .args([cluster, name, &self.address]);
        // This process becomes `unshare`, whose only child is the first process of the node.
        let outer = format!("{name}-outer");
        let parent = processes.start(&outer, &command)?;
        let first = wait::until(&format!("{name} to start"), || {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
            let child = children.split_whitespace().next().map(str::to_owned);
            let Some(child) = child else { return Ok(None) };
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let is_init = line.split(|&byte| byte == 0).any(|word| word == b"init");
            Ok(is_init.then_some(child))
        })
        .with_context(|| processes.tail(&outer))?;
        processes.remember(name, first.parse()?)
    }

    pub(super) fn namespace(&self, cluster: &str) -> String {
        format!("{cluster}-{}", self.name)
    }

    /// Runs a program in the node as its root.
    pub(super) fn run(&self, processes: &Processes, words: &[&str]) -> Result<Output> {
        let command = self.command(processes, words)?.output();
        command.with_context(|| format!("running {words:?} in {}", self.name))
    }

    pub(super) fn command(&self, processes: &Processes, words: &[&str]) -> Result<Command> {
        let first = processes.id(&self.name);
        let first = first.with_context(|| format!("{} does not run", self.name))?;
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &first.to_string(),
                "-m",
                "-n",
                "-p",
                "-u",
                "-i",
                "-C",
                "--",
            ])
            .args(words);
        Ok(command)
    }

    /// Imports an image archive into its containerd.
    pub(super) fn import(&self, processes: &Processes, archive: &Path) -> Result<()> {
        let file =
            fs::File::open(archive).with_context(|| format!("opening {}", archive.display()))?;
        let output = self
            .command(processes, &["ctr", "-n", "k8s.io", "images", "import", "-"])?
            .stdin(file)
            .output()?;
        ensure!(
            output.status.success(),
            "importing {} into {}: {}",
            archive.display(),
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// Only the capabilities of the machine's root: without CAP_SYS_RESOURCE runc would fail to lower the score
/// by which the kernel kills processes when memory is short.
const CONTAINERD: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"#;
