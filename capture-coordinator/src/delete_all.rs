//! Deleting every resource, before the coordinator is removed: without it nobody would end their captures and take
//! their finalizers away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;

use crate::resource::PacketCaptureConfig;

/// How often to look whether they are gone.
const PAUSE: Duration = Duration::from_millis(500);
/// How long resources without finalizers may take to vanish.
const REST: Duration = Duration::from_secs(10);

/// Deletes all resources, and waits until they are gone. Those that are not within `patience` lose their finalizers.
///
/// # Errors
/// The API server cannot be reached, or refuses.
pub async fn delete_all(patience: Duration) -> Result<()> {
    let client = Client::try_default()
        .await
        .context("finding the API server: run it in a pod, or set KUBECONFIG")?;
    let api = Api::<PacketCaptureConfig>::all(client);
    let start = Instant::now();
    let mut released = false;
    loop {
        let Some(left) = list(&api).await? else {
            return Ok(());
        };
        if left.is_empty() {
            return Ok(());
        }
        for resource in &left {
            if resource.metadata.deletion_timestamp.is_none() {
                println!("deleting {}", resource.name_any());
                let deleted = api
                    .delete(&resource.name_any(), &DeleteParams::default())
                    .await;
                ignore_absence(deleted.map(drop))?;
            }
        }
        if start.elapsed() >= patience {
            for resource in left.iter().filter(|one| !one.finalizers().is_empty()) {
                println!(
                    "{} is still there after {patience:?}: its captures may go on until their own limits",
                    resource.name_any()
                );
                release(&api, &resource.name_any()).await?;
            }
            released = true;
        }
        if released && start.elapsed() >= patience + REST {
            bail!("{} resources cannot be deleted", left.len());
        }
        sleep(PAUSE).await;
    }
}

/// All resources; nothing where the server does not know the kind.
async fn list(api: &Api<PacketCaptureConfig>) -> Result<Option<Vec<PacketCaptureConfig>>> {
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error).context("listing PacketCaptureConfigs"),
    }
}

async fn release(api: &Api<PacketCaptureConfig>, name: &str) -> Result<()> {
    let patch = json!({"metadata": {"finalizers": null}});
    let patched = api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    ignore_absence(patched.map(drop))
}

fn ignore_absence(result: Result<(), kube::Error>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.context("deleting a PacketCaptureConfig"),
    }
}
