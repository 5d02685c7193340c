//! Who may start, change, stop and delete captures: a real API server decides, and has the resources.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    coordinator::ClusterClient,
    daemon::wrote_all,
    gate,
    pods::{PORT, send},
};
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::scene::{POD, SERVER, Scene, assets, refused};

const PACKETS: u32 = 60;
const ALICE: &str = "system:serviceaccount:shop:alice";

type Answer<T> = Result<T, Box<Status>>;

/// The answer to a call of the service.
macro_rules! call {
    ($client:expr, $call:ident, $message:expr) => {{
        let request = $client.request($message)?;
        let mut service = $client.service.clone();
        let answer = $client.wait(service.$call(request));
        answer.map(Response::into_inner).map_err(Box::new)
    }};
}

/// Pods with the label app=web.
fn pods(namespace: &str) -> v1::ClusterPodSelector {
    v1::ClusterPodSelector {
        labels: [("app".to_owned(), "web".to_owned())].into(),
        namespaces: vec![namespace.to_owned()],
        ..v1::ClusterPodSelector::default()
    }
}

fn spec(pods: Option<v1::ClusterPodSelector>, filter: &str) -> v1::ClusterCaptureSpec {
    v1::ClusterCaptureSpec {
        pods,
        capture: Some(v1::CaptureSpec {
            filter: filter.to_owned(),
            limits: Some(v1::Limits {
                packets: Some(100_000),
                ..v1::Limits::default()
            }),
            ..v1::CaptureSpec::default()
        }),
        ..v1::ClusterCaptureSpec::default()
    }
}

fn start(
    client: &ClusterClient,
    spec: v1::ClusterCaptureSpec,
) -> Result<Answer<v1::StartClusterCaptureResponse>> {
    let message = v1::StartClusterCaptureRequest {
        name: "web".to_owned(),
        spec: Some(spec),
        request_id: "one".to_owned(),
        reason: "a slow page".to_owned(),
        validate_only: false,
    };
    Ok(call!(client, start_cluster_capture, message))
}

fn update(
    client: &ClusterClient,
    spec: v1::ClusterCaptureSpec,
    path: &str,
) -> Result<Answer<v1::UpdateClusterCaptureResponse>> {
    let message = v1::UpdateClusterCaptureRequest {
        name: "web".to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..v1::UpdateClusterCaptureRequest::default()
    };
    Ok(call!(client, update_cluster_capture, message))
}

fn stop(client: &ClusterClient, name: &str) -> Result<Answer<v1::StopClusterCaptureResponse>> {
    let message = v1::StopClusterCaptureRequest {
        name: name.to_owned(),
        ..v1::StopClusterCaptureRequest::default()
    };
    Ok(call!(client, stop_cluster_capture, message))
}

fn delete(client: &ClusterClient) -> Result<Answer<v1::DeleteClusterCaptureResponse>> {
    let message = v1::DeleteClusterCaptureRequest {
        name: "web".to_owned(),
        ..v1::DeleteClusterCaptureRequest::default()
    };
    Ok(call!(client, delete_cluster_capture, message))
}

/// The capture in the only answer.
fn only(nodes: Vec<v1::ClusterNodeAnswer>) -> Result<v1::Capture> {
    let [answer] = &nodes[..] else {
        anyhow::bail!("not one node but {nodes:?}")
    };
    ensure!(
        answer.node == "left" && answer.problem.is_none(),
        "{answer:?}"
    );
    answer.capture.clone().context("no capture")
}

#[test]
fn a_capture_is_started_changed_stopped_and_deleted_by_whoever_may_write_resources_and_read_its_pods()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let Some(assets) = assets()? else {
        return Ok(());
    };
    let scene = Scene::start(&assets, "wri")?;
    let outcome = written(&scene);
    outcome.with_context(|| scene.coordinator.stderr())
}

fn written(scene: &Scene) -> Result<()> {
    let filter = format!("udp dst port {PORT}");
    let wanted = || spec(Some(pods("shop")), &filter);
    let alice = scene.user("alice")?;
    who_may_not_is_refused(scene, &alice, wanted())?;
    what_is_wrong_is_named(&alice, wanted())?;
    let words = ["get", "packetcaptureconfigs", "-o", "name"];
    let nothing = scene.cluster.kubectl(&words)?;
    ensure!(nothing.is_empty(), "written: {nothing}");

    let capture = only(start(&alice, wanted())?.map_err(|status| *status)?.nodes)?;
    ensure!(capture.state() == v1::CaptureState::Running, "{capture:?}");
    as_expected(scene, &filter)?;
    let again = only(start(&alice, wanted())?.map_err(|status| *status)?.nodes)?;
    ensure!(again.uid == capture.uid, "the same request started another");
    let other = start(&alice, spec(Some(pods("shop")), "tcp"))?;
    refused(other, Code::AlreadyExists, "another name")?;

    let target = SERVER.parse()?;
    send(&scene.pod, &scene.network, target, PACKETS)?;
    let bob = scene.user("bob")?;
    let other = || spec(Some(pods("shop")), "udp dst port 9");
    let refusal = update(&bob, other(), "filter")?;
    refused(
        refusal,
        Code::PermissionDenied,
        "get pods in namespace shop",
    )?;
    let elsewhere = spec(Some(pods("capture")), "");
    let refusal = update(&alice, elsewhere, "pods")?;
    refused(
        refusal,
        Code::PermissionDenied,
        "get pods in namespace capture",
    )?;
    let refusal = update(&alice, spec(None, "tcp prot"), "filter")?;
    refused(refusal, Code::InvalidArgument, "prot")?;
    let changed = update(&alice, other(), "filter")?.map_err(|status| *status)?;
    let changed = only(changed.nodes)?;
    let now = changed.spec.context("no spec")?.filter;
    ensure!(now == "udp dst port 9", "{now}");
    ensure!(changed.uid == capture.uid, "it was started anew");
    // These the new filter leaves out.
    send(&scene.pod, &scene.network, target, PACKETS)?;

    refused(delete(&alice)?, Code::FailedPrecondition, "stop it first")?;
    let carol = scene.user("carol")?;
    refused(
        stop(&carol, "web")?,
        Code::PermissionDenied,
        "patch packetcaptureconfigs web",
    )?;
    refused(stop(&alice, "other")?, Code::NotFound, "other")?;
    let stopped = only(stop(&alice, "web")?.map_err(|status| *status)?.nodes)?;
    ensure!(
        stopped.state() == v1::CaptureState::Completed,
        "{stopped:?}"
    );
    wrote_all(&stopped, PACKETS.into())?;
    let late = update(&alice, other(), "filter")?;
    refused(late, Code::FailedPrecondition, "has ended")?;
    let files = v1::ListClusterFilesRequest {
        name: "web".to_owned(),
    };
    let listed: Answer<_> = call!(carol, list_cluster_files, files.clone());
    refused(listed, Code::PermissionDenied, "files")?;
    let listed: Answer<v1::ListClusterFilesResponse> = call!(alice, list_cluster_files, files);
    let listed = listed.map_err(|status| *status)?.nodes;
    ensure!(
        listed.len() == 1 && listed[0].files.len() == 1,
        "{listed:?}"
    );

    refused(
        delete(&carol)?,
        Code::PermissionDenied,
        "delete packetcaptureconfigs web",
    )?;
    only(delete(&alice)?.map_err(|status| *status)?.nodes)?;
    let left = scene.cluster.kubectl(&words)?;
    ensure!(left.is_empty(), "left: {left}");
    ensure!(
        scene.daemon.client()?.get("web").is_err(),
        "it is on the node"
    );
    ensure!(!scene.daemon.files("web").exists(), "files are left");
    everything_is_recorded(scene)
}

fn who_may_not_is_refused(
    scene: &Scene,
    alice: &ClusterClient,
    wanted: v1::ClusterCaptureSpec,
) -> Result<()> {
    let nobody = scene.client("")?;
    refused(
        start(&nobody, wanted.clone())?,
        Code::Unauthenticated,
        "token",
    )?;
    let carol = scene.user("carol")?;
    let refusal = start(&carol, wanted.clone())?;
    refused(
        refusal,
        Code::PermissionDenied,
        "create packetcaptureconfigs",
    )?;
    let bob = scene.user("bob")?;
    let refusal = start(&bob, wanted)?;
    refused(
        refusal,
        Code::PermissionDenied,
        "get pods in namespace shop",
    )?;
    let mut by_address = spec(None, "");
    if let Some(capture) = &mut by_address.capture {
        capture.targets.push(POD.to_owned());
    }
    for user in [&bob, alice] {
        let refusal = start(user, by_address.clone())?;
        refused(
            refusal,
            Code::PermissionDenied,
            "get pods in all namespaces",
        )?;
    }
    Ok(())
}

fn what_is_wrong_is_named(alice: &ClusterClient, wanted: v1::ClusterCaptureSpec) -> Result<()> {
    let with = |change: &dyn Fn(&mut v1::CaptureSpec)| {
        let mut wanted = wanted.clone();
        if let Some(capture) = &mut wanted.capture {
            change(capture);
        }
        wanted
    };
    let limits = v1::Limits {
        bytes: Some(1),
        ..v1::Limits::default()
    };
    for (wrong, code, part) in [
        (
            with(&|capture| capture.filter = "tcp prot".to_owned()),
            Code::InvalidArgument,
            "prot",
        ),
        (
            with(&|capture| capture.limits = Some(limits)),
            Code::InvalidArgument,
            "limits.bytes",
        ),
        (
            with(&|capture| capture.ports = vec![0]),
            Code::InvalidArgument,
            "spec.targetPorts[0]",
        ),
        (
            spec(None, ""),
            Code::InvalidArgument,
            "give targetIPs, podSelector",
        ),
        (
            v1::ClusterCaptureSpec {
                nodes: vec!["middle".to_owned()],
                ..wanted.clone()
            },
            Code::NotFound,
            "no node \"middle\"",
        ),
    ] {
        refused(start(alice, wrong)?, code, part)?;
    }
    Ok(())
}

/// The resource that was written for alice.
fn as_expected(scene: &Scene, filter: &str) -> Result<()> {
    let words = ["get", "packetcaptureconfigs", "web"];
    let resource = scene.cluster.kubectl_json(&words)?;
    let expected = json!({
        "podSelector": {
            "labelSelector": { "matchLabels": { "app": "web" } },
            "namespaces": ["shop"],
        },
        "filter": filter,
        "duration": 31_536_000,
        "maxPackets": 100_000,
        "outputFormat": "pcapng",
    });
    ensure!(resource["spec"] == expected, "{}", resource["spec"]);
    let annotations = &resource["metadata"]["annotations"];
    for (key, value) in [("asked-by", ALICE), ("reason", "a slow page")] {
        let found = &annotations[format!("networking.packet.io/{key}")];
        ensure!(found == value, "{key}: {annotations}");
    }
    Ok(())
}

/// Events and the log say what alice did, and the log what others were refused.
fn everything_is_recorded(scene: &Scene) -> Result<()> {
    let events = scene
        .cluster
        .kubectl(&["get", "events", "--all-namespaces"])?;
    for action in ["started", "changed", "stopped", "deleted"] {
        let note = format!("{action} through the cluster API by {ALICE}");
        ensure!(events.contains(&note), "no {note:?} in {events}");
    }
    let log = scene.coordinator.stderr();
    for part in [
        format!("\"{ALICE}\" StartClusterCapture \"web\" (\"a slow page\"): done"),
        format!("\"{ALICE}\" StopClusterCapture \"web\": done"),
        "shop:carol\" DeleteClusterCapture \"web\": refused".to_owned(),
    ] {
        ensure!(log.contains(&part), "no {part:?} in {log}");
    }
    Ok(())
}
