//! The finalizer, which delays a resource's deletion until its captures have ended.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::resource::PacketCaptureConfig;

/// Its name.
pub(super) const FINALIZER: &str = "networking.packet.io/captures";

pub(super) fn is_set(resource: &PacketCaptureConfig) -> bool {
    resource.finalizers().iter().any(|name| name == FINALIZER)
}

/// Sets it, unless the resource has changed since it was read.
pub(super) async fn set(
    api: &Api<PacketCaptureConfig>,
    resource: &PacketCaptureConfig,
) -> Result<(), kube::Error> {
    let mut names = resource.finalizers().to_vec();
    names.push(FINALIZER.to_owned());
    patch(api, resource, &names).await
}

/// Removes it.
pub(super) async fn remove(
    api: &Api<PacketCaptureConfig>,
    resource: &PacketCaptureConfig,
) -> Result<(), kube::Error> {
    let names: Vec<_> = resource
        .finalizers()
        .iter()
        .filter(|name| *name != FINALIZER)
        .cloned()
        .collect();
    match patch(api, resource, &names).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}

async fn patch(
    api: &Api<PacketCaptureConfig>,
    resource: &PacketCaptureConfig,
    names: &[String],
) -> Result<(), kube::Error> {
    let patch = json!({ "metadata": {
        "finalizers": names,
        "resourceVersion": resource.metadata.resource_version,
    } });
    api.patch(
        &resource.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
    .map(drop)
}
