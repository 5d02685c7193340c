//! Whose packets files have: that of what was captured, whatever the resource selects afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    pods::{PORT, send},
    wait,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    calls::{files, resource, stream},
    scene::{SERVER, Scene, refused},
};

const PACKETS: u32 = 40;
const NAME: &str = "moved";

/// Selects the pods of a namespace.
fn of(namespace: &str) -> Value {
    let pods =
        json!({ "labelSelector": { "matchLabels": { "app": "web" } }, "namespaces": [namespace] });
    json!({ "podSelector": pods, "targetPorts": [PORT], "duration": 600, "outputFormat": "pcapng" })
}

/// Dave may change captures and read files, and get pods in `desk` and not in `shop`. He moves the selector of a capture
/// of a pod in `shop` to `desk`, and makes a resource of the same name anew.
pub(crate) fn a_moved_selector_gives_away_no_files(scene: &Scene) -> Result<()> {
    let dave = scene.user("dave")?;
    scene.cluster.apply(&resource(NAME, of("shop")))?;
    captured_pods(scene, "shop")?;
    let before = "get pods in namespace shop";
    refused(files(&dave, NAME), Code::PermissionDenied, before)?;
    send(&scene.pod, &scene.network, SERVER.parse()?, PACKETS)?;

    scene.cluster.apply(&resource(NAME, of("desk")))?;
    captured_pods(scene, "desk")?;
    let mut live = stream(&dave, NAME)?;
    refused(files(&dave, NAME), Code::PermissionDenied, before)?;
    // The live packets of one's own pods end when there are those of others among them.
    scene.cluster.apply(&resource(NAME, of("shop")))?;
    let to_its_end = async {
        while live.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let ended = dave.wait(async { timeout(Duration::from_secs(60), to_its_end).await });
    let ended = ended.context("the stream goes on")?;
    refused(ended.map_err(Box::new), Code::PermissionDenied, before)?;
    let words = ["delete", "packetcaptureconfigs", NAME];
    scene.cluster.kubectl(&words)?;
    let ended = scene.daemon.client()?.stop(NAME)?;
    capture_tests::daemon::wrote_all(&ended, PACKETS.into())?;
    let old = scene.daemon.client()?.list_files(NAME)?;
    let old = old.last().context("no file on the node")?;

    scene.cluster.apply(&resource(NAME, of("desk")))?;
    wait::until_true("another capture of the name to run", || {
        // There is none for a moment.
        let own = scene.daemon.client()?.get(NAME).ok();
        let other = own.filter(|own| own.uid != ended.uid);
        Ok(other.is_some_and(|own| own.state() == v1::CaptureState::Running))
    })
    .with_context(|| scene.coordinator.stderr())?;
    let seen = wait::until(
        "the new capture to be known",
        || Ok(files(&dave, NAME).ok()),
    )?;
    let names = seen.iter().flat_map(|node| &node.files);
    let names: Vec<&str> = names.map(|file| file.name.as_str()).collect();
    ensure!(!names.contains(&old.name.as_str()), "dave sees {names:?}");
    let request = dave.request(v1::ReadClusterFileRequest {
        node: "left".to_owned(),
        name: NAME.to_owned(),
        file: old.name.clone(),
        offset: 0,
    })?;
    let read = dave.wait(dave.service.clone().read_cluster_file(request));
    refused(
        read.map_err(Box::new),
        Code::NotFound,
        "pods in all namespaces",
    )?;
    scene.cluster.kubectl(&words)?;
    Ok(())
}

/// Waits until the capture has pods of a namespace, and no others.
fn captured_pods(scene: &Scene, namespace: &str) -> Result<()> {
    wait::until_true("the capture of the pod", || {
        let Ok(own) = scene.daemon.client()?.get(NAME) else {
            return Ok(false);
        };
        let pods = own.spec.as_ref().and_then(|spec| spec.pods.as_ref());
        let pods = pods.map_or(&[][..], |selection| &selection.pods);
        let runs = own.state() == v1::CaptureState::Running;
        Ok(runs && !pods.is_empty() && pods.iter().all(|pod| pod.namespace == namespace))
    })
    .with_context(|| scene.coordinator.stderr())
}

/// A resource that no node captures is listed, with the reason.
pub(crate) fn what_waits_is_listed_with_the_reason(scene: &Scene) -> Result<()> {
    scene.cluster.apply(&resource("waits", of("nowhere")))?;
    let carol = scene.user("carol")?;
    wait::until_true("the reason in the list", || {
        let request = carol.request(v1::ListClusterCapturesRequest {
            name: "waits".to_owned(),
        })?;
        let listed = carol.wait(carol.service.clone().list_cluster_captures(request));
        let Ok(listed) = listed else {
            return Ok(false);
        };
        let listed = listed.into_inner().captures;
        let [waits] = listed.as_slice() else {
            anyhow::bail!("{listed:?}");
        };
        let capture = waits.capture.as_ref().context("no capture")?;
        let is_pending = capture.state() == v1::CaptureState::Pending;
        ensure!(waits.node.is_empty() && is_pending, "{waits:?}");
        Ok(capture.message.contains("no running pod matches"))
    })
    .with_context(|| scene.coordinator.stderr())?;
    let words = ["delete", "packetcaptureconfigs", "waits"];
    scene.cluster.kubectl(&words)?;
    Ok(())
}
