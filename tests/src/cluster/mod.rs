//! A real Kubernetes cluster of several nodes on one machine: real API server, kubelets, containerds and pods
//! with their own interfaces, without a container engine, a registry or a network.
//!
//! The control plane and the nodes' network are in the network namespace `NAME-lan`, each node in separate
//! namespaces. On the machine itself only a port of the loopback listens, for `admin.kubeconfig`. No sysctl,
//! firewall rule, mount or interface of the machine changes.

mod control_plane;
mod definitions;
mod helm;
mod keys;
mod node;
mod processes;

pub use definitions::Definitions;
pub use helm::Helm;
pub use node::Node;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use capture_image::{Architecture, Image, LibraryPath, Tree};
use control_plane::ControlPlane;
use keys::Keys;
use processes::Processes;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    netns::{self, Namespace},
    wait,
};

/// Time limit for starting everything on a busy machine.
const START: Duration = Duration::from_secs(180);

/// A running cluster, and its state directory.
#[derive(Debug)]
pub struct Cluster {
    run: PathBuf,
    assets: PathBuf,
    name: String,
    port: u16,
    nodes: Vec<Node>,
    processes: Processes,
}

impl Cluster {
    /// Starts a cluster and waits until every node is ready; without nodes, the API server alone, without
    /// controllers. The name is part of the names of network namespaces.
    ///
    /// # Errors
    /// What is missing or did not start; nothing is left running in that case.
    pub fn start(run: &Path, assets: &Path, name: &str, nodes: usize) -> Result<Self> {
        let missing = control_plane::missing(assets);
        ensure!(
            missing.is_empty(),
            "missing: {missing:?}; `cargo xtask setup` builds them"
        );
        fs::create_dir_all(run).with_context(|| format!("creating {}", run.display()))?;
        let run = run.canonicalize()?;
        for place in ["/run", "/var/lib", "/var/log", "/sys"] {
            ensure!(
                !run.starts_with(place) && !assets.starts_with(place),
                "a node has its own {place}: {} and {} have to be elsewhere",
                run.display(),
                assets.display()
            );
        }
        ensure!(
            Path::new("/sys/fs/cgroup/memory").is_dir(),
            "this machine has cgroup v2 alone; Kubernetes 1.20 needs the hierarchies of cgroup v1"
        );
        ensure!(
            !run.join("pid").is_dir() || Processes::of(&run)?.names().is_empty(),
            "a cluster runs in {} already; end it first",
            run.display()
        );
        let cluster = Self {
            processes: Processes::of(&run)?,
            assets: assets.to_owned(),
            name: name.to_owned(),
            port: control_plane::free_port()?,
            nodes: (1..=nodes).map(Node::new).collect(),
            run,
        };
        if let Err(error) = cluster.start_all() {
            if let Err(also) = cluster.end() {
                eprintln!("ending what was started: {also:#}");
            }
            return Err(error);
        }
        Ok(cluster)
    }

    fn start_all(&self) -> Result<()> {
        fs::write(
            self.run.join("cluster"),
            format!("{}\n{}\n{}\n", self.name, self.port, self.nodes.len()),
        )?;
        self.make_pause_image()?;
        let keys = Keys::make(&self.run, &self.name)?;
        let control = self.control_plane();
        control.certify(&keys)?;
        control.make_network()?;
        control.start_server()?;
        // The nodes start while the API server does; kubelets retry.
        for node in &self.nodes {
            node.configure(&self.run, &keys)?;
            node.start(
                &self.run,
                &self.assets,
                &self.name,
                &self.nodes,
                &self.processes,
            )?;
        }
        self.wait("the API server", || {
            let output = self
                .kubectl_command(&["get", "--raw", "/readyz"])
                .output()?;
            Ok(output.status.success())
        })?;
        if self.nodes.is_empty() {
            return Ok(());
        }
        control.start_controllers()?;
        self.wait("every node to be ready", || {
            Ok(self.ready_nodes()? == self.nodes.len())
        })?;
        self.wait("the default service account", || {
            let words = ["get", "serviceaccount", "default"];
            Ok(self.kubectl_command(&words).output()?.status.success())
        })
    }

    fn wait(&self, what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
        wait::within(START, what, || {
            self.processes.check()?;
            Ok(ask()?.then_some(()))
        })
    }

    fn control_plane(&self) -> ControlPlane<'_> {
        ControlPlane {
            run: &self.run,
            assets: &self.assets,
            cluster: &self.name,
            processes: &self.processes,
            port: self.port,
        }
    }

    fn make_pause_image(&self) -> Result<()> {
        let mut tree = Tree::default();
        let architecture = Architecture::native()?;
        let libraries = LibraryPath::of(architecture, &[]);
        tree.program(&self.assets.join("pause"), "/pause", &libraries)?;
        fs::create_dir_all(self.run.join("images"))?;
        let image = Image {
            name: "localhost/pause:1".to_owned(),
            architecture,
            entrypoint: vec!["/pause".to_owned()],
            arguments: Vec::new(),
            user: "65535".to_owned(),
            labels: Vec::new(),
        };
        image.write(&tree, &self.run.join("images/pause.tar"))?;
        Ok(())
    }

    /// Opens a cluster that was started in a directory.
    ///
    /// # Errors
    /// There is none.
    pub fn open(run: &Path, assets: &Path) -> Result<Self> {
        let none = || format!("no cluster runs in {}", run.display());
        let text = fs::read_to_string(run.join("cluster")).with_context(none)?;
        let mut lines = text.lines();
        let mut next = || lines.next().with_context(none);
        let (name, port, nodes) = (next()?.to_owned(), next()?.parse()?, next()?.parse()?);
        let run = run.canonicalize()?;
        Ok(Self {
            processes: Processes::of(&run)?,
            run,
            assets: assets.to_owned(),
            name,
            port,
            nodes: (1..=nodes).map(Node::new).collect(),
        })
    }

    /// Ends everything and removes all except the logs.
    ///
    /// # Errors
    /// What could not be ended or removed.
    pub fn end(&self) -> Result<()> {
        // The end of the first process of a PID namespace ends all others in it.
        for node in &self.nodes {
            self.processes.end(&node.name, Signal::KILL)?;
            self.processes
                .end(&format!("{}-outer", node.name), Signal::KILL)?;
        }
        for name in self.processes.names() {
            self.processes.end(&name, Signal::TERM)?;
        }
        let mut namespaces: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.namespace(&self.name))
            .collect();
        namespaces.push(ControlPlane::namespace(&self.name));
        for namespace in namespaces {
            if Path::new("/run/netns").join(&namespace).exists() {
                netns::run("ip", &["netns", "del", &namespace])?;
            }
        }
        for node in &self.nodes {
            wait::until("the node's cgroups to be removed", || {
                Ok(remove_cgroups(&node.namespace(&self.name)).then_some(()))
            })?;
            remove(&self.run.join(&node.name))?;
        }
        for name in ["etcd", "pki", "images", "cluster"] {
            remove(&self.run.join(name))?;
        }
        Ok(())
    }

    /// The configuration with all rights.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.run.join("admin.kubeconfig")
    }

    /// The directory of its state and logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.run
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The network namespace in which nodes and pods are reachable at their addresses.
    #[must_use]
    pub fn network(&self) -> Namespace {
        Namespace::existing(&ControlPlane::namespace(&self.name))
    }

    /// The network of a node, in which the host-side interfaces of its pods are.
    #[must_use]
    pub fn network_of(&self, node: &Node) -> Namespace {
        Namespace::existing(&node.namespace(&self.name))
    }

    fn ready_nodes(&self) -> Result<usize> {
        let output = self
            .kubectl_command(&["get", "nodes", "-o", "json"])
            .output()?;
        let Ok(list) = serde_json::from_slice::<Value>(&output.stdout) else {
            return Ok(0);
        };
        let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        let is_ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
        };
        Ok(items.iter().filter(is_ready).count())
    }

    /// `kubectl` with the administrator's rights.
    #[must_use]
    pub fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.assets.join("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(words);
        // Its discovery cache is kept next to the cluster, not in a home directory.
        command.env("HOME", &self.run);
        command
    }

    /// The output of `kubectl`.
    ///
    /// # Errors
    /// Its failure, with its output.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        let output = self.kubectl_command(words).output();
        printed(output.context("starting kubectl")?, &format!("{words:?}"))
    }

    /// The JSON output of `kubectl`.
    ///
    /// # Errors
    /// Its failure, or output that is not JSON.
    pub fn kubectl_json(&self, words: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[words, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{words:?} printed: {text}"))
    }

    /// Applies manifests.
    ///
    /// # Errors
    /// The API server rejects them.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.kubectl_with(&["apply", "-f", "-"], manifests)
            .map(drop)
    }

    /// Creates objects, and returns what the API server made of them: JSON, one object after the other.
    ///
    /// # Errors
    /// The API server rejects them.
    pub fn create(&self, manifests: &str) -> Result<String> {
        self.kubectl_with(&["create", "-f", "-", "-o", "json"], manifests)
    }

    fn kubectl_with(&self, words: &[&str], input: &str) -> Result<String> {
        let mut child = self
            .kubectl_command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        printed(child.wait_with_output()?, &format!("{words:?}"))
    }

    /// Imports an image archive into every node.
    ///
    /// # Errors
    /// The failure of a node.
    pub fn import(&self, archive: &Path) -> Result<()> {
        for node in &self.nodes {
            node.import(&self.processes, archive)?;
        }
        Ok(())
    }

    /// Runs a program in a node as its root; an error if it fails.
    ///
    /// # Errors
    /// Its output on stderr.
    pub fn run_in(&self, node: &Node, words: &[&str]) -> Result<String> {
        let output = node.run(&self.processes, words)?;
        printed(output, &format!("{words:?} in {}", node.name))
    }

    /// A file or directory of a node's file system, to be read from outside.
    ///
    /// # Errors
    /// The node does not run.
    pub fn path_in(&self, node: &Node, path: &str) -> Result<PathBuf> {
        let first = self.processes.id(&node.name);
        let first = first.with_context(|| format!("{} does not run", node.name))?;
        let root = PathBuf::from(format!("/proc/{first}/root"));
        Ok(root.join(path.trim_start_matches('/')))
    }

    /// Ends the API server; the stored objects stay.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop_api_server(&self) -> Result<()> {
        self.processes.end("kube-apiserver", Signal::TERM)
    }

    /// Starts the API server again, and waits for it.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn start_api_server(&self) -> Result<()> {
        self.control_plane().start_api_server()?;
        self.wait("the API server", || {
            let output = self
                .kubectl_command(&["get", "--raw", "/readyz"])
                .output()?;
            Ok(output.status.success())
        })
    }
}

/// Removes the cgroups of a node whose processes have ended; whether they are gone.
fn remove_cgroups(group: &str) -> bool {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
    let mut gone = true;
    for hierarchy in hierarchies.flatten() {
        let own = hierarchy.path().join(group);
        remove_tree_of_groups(&own);
        gone &= !own.exists();
    }
    gone
}

/// The deepest first: a cgroup's files cannot be removed, and disappear with it.
fn remove_tree_of_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree_of_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The output of a program, or an error with it.
pub(crate) fn printed(output: Output, what: &str) -> Result<String> {
    if !output.status.success() {
        bail!(
            "{what} ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what} printed no text"))
}
