//! A ConfigMap with the results of each capture, owned by the resource and removed with it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use super::Context;
use crate::{
    decide::{LABEL_RESOURCE, capture_name},
    resource::{PacketCaptureConfig, PacketCaptureConfigStatus},
};

/// The owner of fields that this program applies.
pub(super) const MANAGER: &str = "capture-coordinator";
/// A ConfigMap has at most 1 MiB; beyond this, nodes are omitted and counted.
const LARGEST: usize = 800_000;

/// Writes the current results.
pub(super) async fn write(
    context: &Context,
    resource: &PacketCaptureConfig,
    status: &PacketCaptureConfigStatus,
) -> Result<(), kube::Error> {
    let Some(owner) = resource.controller_owner_ref(&()) else {
        return Ok(());
    };
    let name = format!("{}-results", capture_name(&resource.name_any()));
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([(
                format!("networking.packet.io/{LABEL_RESOURCE}"),
                capture_name(&resource.name_any()),
            )])),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data(resource, status)),
        ..ConfigMap::default()
    };
    let maps = Api::<ConfigMap>::namespaced(context.client.clone(), &context.settings.namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    maps.patch(&name, &parameters, &Patch::Apply(&map))
        .await
        .map(drop)
}

fn data(
    resource: &PacketCaptureConfig,
    status: &PacketCaptureConfigStatus,
) -> BTreeMap<String, String> {
    let metadata = json!({
        "name": resource.name_any(),
        "uid": resource.metadata.uid,
        "generation": resource.metadata.generation,
        "spec": resource.spec,
        "startedAt": status.started_at,
        "completedAt": status.completed_at,
    });
    let results = json!({
        "phase": status.phase,
        "message": status.message,
        "summary": status.summary,
        "captureFiles": status.capture_files,
    });
    let mut data = BTreeMap::from([
        ("metadata.json".to_owned(), metadata.to_string()),
        ("results.json".to_owned(), results.to_string()),
    ]);
    let mut size: usize = data.values().map(String::len).sum();
    let mut left_out = 0;
    for node in &status.nodes {
        let text = serde_json::to_string(node).unwrap_or_default();
        size += text.len() + node.name.len();
        if size > LARGEST {
            left_out += 1;
        } else {
            data.insert(format!("node.{}.json", node.name), text);
        }
    }
    if left_out > 0 {
        data.insert("nodes-left-out".to_owned(), left_out.to_string());
    }
    data
}
