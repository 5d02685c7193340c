//! The resource PacketCaptureConfig, as kubectl reads and writes it.

use capture_client::{
    cluster::{ClusterSpec, PodName},
    resource::{self, RESOURCE},
};
use serde_json::{Map, Value, json};

use super::{Cluster, program::Kubectl};
use crate::cli::exit::Error;

/// The `spec` of a resource.
pub(super) fn spec(request: &ClusterSpec) -> Result<Map<String, Value>, Error> {
    resource::spec(request).map_err(|error| Error::Usage(error.to_string()))
}

/// A resource to be. A name that ends in `-` is completed by the server.
pub(super) fn manifest(name: &str, annotations: &Value, spec: Map<String, Value>) -> Value {
    let key = if name.ends_with('-') {
        "generateName"
    } else {
        "name"
    };
    json!({
        "apiVersion": "networking.packet.io/v1",
        "kind": "PacketCaptureConfig",
        "metadata": { key: name, "annotations": annotations },
        "spec": spec,
    })
}

/// Creates a resource; returns its name.
pub(super) fn create(kubectl: &Kubectl, manifest: &Value) -> Result<String, Error> {
    let words = ["create", "-f", "-", "-o", "json"];
    let text = kubectl.run_with(&words, Some(&manifest.to_string()))?;
    let created: Value = serde_json::from_str(&text)?;
    Ok(created["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// Reads one.
pub(super) fn get(kubectl: &Kubectl, name: &str) -> Result<Value, Error> {
    kubectl.json(&["get", RESOURCE, name])
}

/// A pod as `NAMESPACE/NAME`, or as `NAME` in the namespace of the command line.
pub(super) fn pod(cluster: &Cluster, text: &str) -> PodName {
    let text = text.strip_prefix("pod/").unwrap_or(text);
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name),
        None => (namespace(cluster), text),
    };
    PodName {
        namespace,
        name: name.to_owned(),
    }
}

/// The namespace of the command line, or of kubectl's context.
pub(super) fn namespace(cluster: &Cluster) -> String {
    if let Some(namespace) = &cluster.arguments.namespace {
        return namespace.clone();
    }
    let words = ["config", "view", "--minify", "-o", "jsonpath={..namespace}"];
    match cluster.kubectl.run(&words) {
        Ok(namespace) if !namespace.trim().is_empty() => namespace.trim().to_owned(),
        _ => "default".to_owned(),
    }
}
