//! What the API server says of captures, nodes and pods, as far as this user may read it.

use std::{collections::BTreeMap, fmt};

use capture_args::console::plain;
use capture_client::resource::RESOURCE;
use serde::Serialize;
use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};

use super::used::{self, Used};
use crate::cli::{
    exit::{Error, Exit},
    kubectl::{Cluster, program::Kubectl},
};

/// CPU and memory in use.
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// Something that is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    /// What.
    what: &'static str,
    /// Why.
    why: String,
    /// The right that this user lacks, if that is why: `list nodes`.
    right: Option<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not shown: {}", self.what, plain(&self.why))
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) captures: Option<Vec<Value>>,
    /// How the command ends because captures are not known.
    pub(super) captures_refused: Option<Exit>,
    pub(super) nodes: Option<Value>,
    pub(super) pods: Option<Value>,
    pub(super) used_by_nodes: BTreeMap<String, Used>,
    pub(super) used_by_pods: BTreeMap<String, Used>,
    pub(super) missing: Vec<Missing>,
}

type Answer = JoinHandle<Result<Value, Error>>;

/// Questions that are on their way, all at once.
pub(super) struct Reading {
    namespace: String,
    captures: Answer,
    nodes: Answer,
    pods: Answer,
    used_by_nodes: Answer,
    used_by_pods: Answer,
}

impl Reading {
    /// Asks everything.
    pub(super) fn begin(cluster: &Cluster, pod_selector: &str) -> Self {
        let namespace = cluster.arguments.coordinator_namespace.clone();
        let list = |words: &[&str]| {
            let kubectl = cluster.kubectl.clone();
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            spawn_blocking(move || {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                kubectl.json(&words)
            })
        };
        let measured = |path: String| {
            let kubectl = cluster.kubectl.clone();
            spawn_blocking(move || measured(&kubectl, &path))
        };
        Self {
            captures: list(&["get", RESOURCE]),
            nodes: list(&["get", "nodes"]),
            pods: list(&["get", "pods", "-n", &namespace, "-l", pod_selector]),
            used_by_nodes: measured("nodes".to_owned()),
            used_by_pods: measured(format!("namespaces/{namespace}/pods")),
            namespace,
        }
    }

    /// Waits for the answers.
    pub(super) async fn end(self) -> Result<Read, Error> {
        let mut read = Read::default();
        let place = format!("in namespace {}", self.namespace);
        let everywhere = "in the whole cluster";
        match answer(self.captures).await {
            Ok(list) => {
                read.captures = Some(list["items"].as_array().cloned().unwrap_or_default());
            }
            Err(error) => {
                let missing = why("captures", &format!("list {RESOURCE}"), everywhere, &error);
                read.captures_refused = Some(match missing.right {
                    Some(_) => Exit::Denied,
                    None => error.exit(),
                });
                read.missing.push(missing);
            }
        }
        match answer(self.nodes).await {
            Ok(list) => read.nodes = Some(list),
            Err(error) => {
                let what = "status of nodes";
                read.missing
                    .push(why(what, "list nodes", everywhere, &error));
            }
        }
        match answer(self.pods).await {
            Ok(list) => read.pods = Some(list),
            Err(error) => {
                let what = "pods of the recorder";
                read.missing.push(why(what, "list pods", &place, &error));
            }
        }
        let of_nodes = answer(self.used_by_nodes).await;
        let of_pods = answer(self.used_by_pods).await;
        if let (Err(Error::NotFound(_)), Err(Error::NotFound(_))) = (&of_nodes, &of_pods) {
            read.missing.push(Missing {
                what: "CPU and memory",
                why: "the cluster serves no metrics.k8s.io: install metrics-server to have them"
                    .to_owned(),
                right: None,
            });
            return Ok(read);
        }
        match of_nodes {
            Ok(list) => read.used_by_nodes = used::of_nodes(&list),
            Err(error) => {
                let what = "CPU and memory of nodes";
                let right = "list nodes.metrics.k8s.io";
                read.missing.push(why(what, right, everywhere, &error));
            }
        }
        match of_pods {
            Ok(list) => read.used_by_pods = used::of_pods(&list),
            Err(error) => {
                let what = "CPU and memory of pods";
                let right = "list pods.metrics.k8s.io";
                read.missing.push(why(what, right, &place, &error));
            }
        }
        Ok(read)
    }
}

async fn answer(answer: Answer) -> Result<Value, Error> {
    answer
        .await
        .map_err(|error| Error::Failed(format!("kubectl was not waited for: {error}")))?
}

/// A list of metrics.k8s.io. Whoever may not read it is told so even where it does not exist: everybody may ask
/// whether it does.
fn measured(kubectl: &Kubectl, path: &str) -> Result<Value, Error> {
    let refused = match kubectl.raw(&format!("{METRICS}/{path}")) {
        Err(error) if is_refused(&error) => error,
        other => return other,
    };
    match kubectl.raw(METRICS) {
        Err(error @ Error::NotFound(_)) => Err(error),
        _ => Err(refused),
    }
}

fn is_refused(error: &Error) -> bool {
    error.to_string().contains("(Forbidden)")
}

fn why(what: &'static str, right: &str, place: &str, error: &Error) -> Missing {
    if is_refused(error) {
        return Missing {
            what,
            why: format!("this user lacks the right to {right} {place}"),
            right: Some(right.to_owned()),
        };
    }
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty());
    Missing {
        what,
        why: line.unwrap_or("kubectl failed").to_owned(),
        right: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_named_and_other_errors_are_told_in_one_line() {
        // As kubectl 1.20 writes it.
        let error = Error::Failed(
            "kubectl get: Error from server (Forbidden): nodes is forbidden: User \"alice\" cannot list resource \
             \"nodes\" in API group \"\" at the cluster scope"
                .to_owned(),
        );
        let missing = why(
            "status of nodes",
            "list nodes",
            "in the whole cluster",
            &error,
        );
        assert_eq!(missing.right.as_deref(), Some("list nodes"));
        assert_eq!(
            missing.to_string(),
            "status of nodes not shown: this user lacks the right to list nodes in the whole cluster"
        );
        let error = Error::Failed("\nkubectl get: Unable to connect\u{1b}[2J\nmore".to_owned());
        let missing = why("captures", "list x", "", &error);
        assert_eq!(missing.right, None);
        let line = missing.to_string();
        assert!(line.ends_with(r"Unable to connect\u{1b}[2J"), "{line}");
    }
}
