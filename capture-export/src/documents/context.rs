//! What all documents of a file, or of one of its interfaces, have in common. It is written once.

use capture_file::Interface;

use super::{json::Object, time::Clock};

/// The version of the Elastic Common Schema that the names are from.
const ECS_VERSION: &str = "8.11";

/// The file that documents are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileContext {
    /// The cluster or site; may be empty.
    pub cluster: String,
    /// The node that recorded it.
    pub node: String,
    /// What distinguishes the capture from others of the node: rotated files of one capture have it in common.
    pub series: String,
    /// The name of the capture.
    pub capture: String,
    /// The path of the file on the node.
    pub path: String,
    /// The number of the file in its capture; absent if it is not known.
    pub sequence: Option<u64>,
    /// The digest of the file: the algorithm, a colon and hexadecimal digits.
    pub digest: String,
}

impl FileContext {
    /// The last members of each document: those that only depend on the file and the interface. They begin
    /// with a comma.
    pub(super) fn members(&self, interface: Option<&Interface>) -> Vec<u8> {
        let pod = interface.map(Pod::of).unwrap_or_default();
        let is_pod = !pod.name.is_empty();
        let node = if self.node.is_empty() {
            &pod.node
        } else {
            &self.node
        };
        let (mut out, mut clock) = (Vec::new(), Clock::default());
        let mut object = Object::begin(&mut out, &mut clock);
        object.object("ecs", |ecs| ecs.text("version", ECS_VERSION));
        object.object("observer", |observer| {
            observer.word("type", "recorder");
            observer.word("product", "captured");
            observer.text("version", env!("CARGO_PKG_VERSION"));
            observer.some_text("hostname", Some(node));
            if let Some(interface) = interface
                && (interface.name().is_some() || interface.description().is_some())
            {
                observer.object("ingress", |ingress| {
                    ingress.object("interface", |inner| {
                        inner.some_text("name", interface.name().as_deref());
                        inner.some_text("alias", interface.description().as_deref());
                    });
                });
            }
        });
        if !node.is_empty() {
            object.object("host", |host| host.text("name", node));
        }
        if is_pod || !self.cluster.is_empty() {
            object.object("orchestrator", |orchestrator| {
                if is_pod {
                    orchestrator.word("type", "kubernetes");
                    orchestrator.some_text("namespace", Some(&pod.namespace));
                    orchestrator.object("resource", |resource| {
                        resource.word("type", "pod");
                        resource.text("name", &pod.name);
                    });
                }
                if !self.cluster.is_empty() {
                    orchestrator.object("cluster", |cluster| cluster.text("name", &self.cluster));
                }
            });
        }
        if is_pod {
            object.object("kubernetes", |kubernetes| {
                kubernetes.some_text("namespace", Some(&pod.namespace));
                kubernetes.object("pod", |inner| {
                    inner.text("name", &pod.name);
                    inner.some_text("uid", Some(&pod.uid));
                });
                if !node.is_empty() {
                    kubernetes.object("node", |inner| inner.text("name", node));
                }
            });
            if !pod.containers.is_empty() {
                object.object("container", |container| {
                    container.list("name", pod.containers.iter().map(String::as_str));
                });
            }
        }
        object.object("log", |log| {
            log.object("file", |file| file.text("path", &self.path));
        });
        object.end();
        // From a whole object to the members at the end of another one.
        out.pop();
        if let Some(first) = out.first_mut() {
            *first = b',';
        }
        out
    }

    /// The members of `capture` that depend on the file only.
    pub(super) fn capture(&self, capture: &mut Object<'_>) {
        capture.some_text("name", Some(&self.capture));
        capture.object("file", |file| {
            file.some_number("sequence", self.sequence);
            file.text("digest", &self.digest);
        });
    }
}

/// The pod of an interface, from the comment that the daemon writes into pcapng files.
#[derive(Default)]
struct Pod {
    node: String,
    namespace: String,
    name: String,
    uid: String,
    containers: Vec<String>,
}

impl Pod {
    /// More containers than this are not listed: a comment comes from a file.
    const MOST_CONTAINERS: usize = 64;

    fn of(interface: &Interface) -> Self {
        let mut pod = Self::default();
        let Some(comment) = interface.comment() else {
            return pod;
        };
        for line in comment.lines() {
            match line.split_once('=') {
                Some(("node", node)) => pod.node = node.to_owned(),
                Some(("namespace", namespace)) => pod.namespace = namespace.to_owned(),
                Some(("pod", name)) => pod.name = name.to_owned(),
                Some(("uid", uid)) => pod.uid = uid.to_owned(),
                Some(("containers", names)) => {
                    let names = names.split(',').take(Self::MOST_CONTAINERS);
                    pod.containers = names.map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        pod
    }
}
