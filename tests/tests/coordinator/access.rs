//! Who may read packets: a real API server decides, by token and RBAC.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::stream_cluster_packets_response::Event;
use capture_tests::{
    gate,
    lab::wait_for_reader,
    pods::{PORT, send},
    wait,
};
use serde_json::json;
use tonic::Code;

use crate::{
    calls::{files, resource, stream},
    owners,
    scene::{POD, SERVER, Scene, assets, refused},
};

const PACKETS: u32 = 60;

#[test]
fn a_resource_becomes_a_capture_of_its_pod_and_rbac_decides_who_may_read_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let Some(assets) = assets()? else {
        return Ok(());
    };
    let scene = Scene::start(&assets, "api")?;
    let pods =
        json!({ "labelSelector": { "matchLabels": { "app": "web" } }, "namespaces": ["shop"] });
    let spec = json!({ "podSelector": pods, "targetPorts": [PORT], "duration": 600, "outputFormat": "pcapng" });
    scene.cluster.apply(&resource("web", spec))?;
    wait::until_true(
        "the capture to run",
        || Ok(scene.phase("web")? == "Running"),
    )
    .with_context(|| scene.coordinator.stderr())?;

    let nobody = scene.client("")?;
    refused(stream(&nobody, "web"), Code::Unauthenticated, "token")?;
    let foreign = scene.client("not.a.token")?;
    refused(
        stream(&foreign, "web"),
        Code::Unauthenticated,
        "does not accept",
    )?;
    let bob = scene.user("bob")?;
    refused(
        stream(&bob, "web"),
        Code::PermissionDenied,
        "get pods in namespace shop",
    )?;
    let carol = scene.user("carol")?;
    refused(
        files(&carol, "web"),
        Code::PermissionDenied,
        "packetcaptureconfigs/files",
    )?;
    drop(stream(&carol, "web")?);
    let alice = scene.user("alice")?;
    refused(stream(&alice, "other"), Code::NotFound, "other")?;

    // What alice sees, and what is on the node, is what the pod sent.
    let mut events = stream(&alice, "web")?;
    wait_for_reader(&scene.daemon)?;
    send(&scene.pod, &scene.network, SERVER.parse()?, PACKETS)?;
    let mut seen = 0;
    while seen < PACKETS as usize {
        let event = alice
            .wait(events.message())?
            .context("the stream ended early")?;
        if let Some(Event::Packets(batch)) = event.event {
            seen += batch.packets.len();
        }
    }
    ensure!(seen == PACKETS as usize, "{seen} packets");
    let ended = scene.daemon.client()?.stop("web")?;
    capture_tests::daemon::wrote_all(&ended, PACKETS.into())?;
    wait::until_true("the resource to be complete", || {
        Ok(scene.phase("web")? == "Completed")
    })
    .with_context(|| scene.coordinator.stderr())?;
    let listed = files(&alice, "web")?;
    ensure!(
        listed.len() == 1 && !listed[0].files[0].digest.is_empty(),
        "{listed:?}"
    );
    let log = scene.coordinator.stderr();
    for part in ["shop:bob", "refused", "shop:alice"] {
        ensure!(log.contains(part), "no {part:?} in the log: {log}");
    }
    owners::a_moved_selector_gives_away_no_files(&scene)?;
    owners::what_waits_is_listed_with_the_reason(&scene)?;
    a_lost_daemon_does_not_hold_up_deletion(scene)
}

/// The daemon is killed with a capture running, its node is gone: the resource can be deleted.
fn a_lost_daemon_does_not_hold_up_deletion(mut scene: Scene) -> Result<()> {
    let spec = json!({ "targetIPs": [POD], "duration": 600 });
    scene.cluster.apply(&resource("lost", spec))?;
    wait::until_true("the capture to run", || {
        Ok(scene.phase("lost")? == "Running")
    })?;
    scene
        .daemon
        .process()
        .signal(rustix::process::Signal::KILL)?;
    scene.cluster.kubectl(&["delete", "node", "left"])?;
    let words = [
        "delete",
        "--force",
        "--grace-period=0",
        "pod",
        "-n",
        "capture",
        "daemon",
    ];
    scene.cluster.kubectl(&words)?;
    wait::until_true("the lost node to be told", || {
        Ok(scene.phase("lost")? == "Degraded")
    })?;
    scene
        .cluster
        .kubectl(&["delete", "--wait=false", "packetcaptureconfigs", "lost"])?;
    wait::within(Duration::from_secs(90), "the resource to be gone", || {
        let words = ["get", "packetcaptureconfigs", "lost", "--ignore-not-found"];
        Ok(scene.cluster.kubectl(&words)?.is_empty().then_some(()))
    })
    .with_context(|| scene.coordinator.stderr())
}
