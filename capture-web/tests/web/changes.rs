//! Captures of two nodes are started, changed, stopped and deleted through a real coordinator without Kubernetes.

use capture_tests::{
    daemon::{Daemon, wrote_all},
    gate,
    pods::{PORT, send},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    coordinator::{API, EVENTS, Scene, both, is_running, with_server},
    server::Server,
};

const PACKETS: u32 = 120;
const CAPTURES: &str = "/api/v1/captures";
const PAGE: &str = "/api/v1/captures/page";

/// The status and the body of an answer.
async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    (status, body)
}

fn request(expression: &str) -> Value {
    json!({
        "name": "page",
        "recording": { "interfaces": ["eth0"], "expression": expression, "compression": "none" },
        "limits": { "seconds": 300 },
        "reason": "a slow page",
    })
}

fn expression() -> String {
    format!("udp dst port {PORT}")
}

async fn start(server: &Server, body: &Value) -> (StatusCode, Value) {
    answered(server.post(CAPTURES).json(body)).await
}

async fn patch(server: &Server, body: &Value) -> (StatusCode, Value) {
    let url = format!("{}{PAGE}", server.url);
    answered(server.client.patch(url).json(body)).await
}

/// The state of the capture in each node's answer.
fn states(answers: &Value) -> Vec<(&str, &str)> {
    let nodes = answers["nodes"].as_array().unwrap().iter();
    let one = nodes.map(|answer| {
        let state = answer["capture"]["state"].as_str();
        (answer["node"].as_str().unwrap(), state.unwrap_or("none"))
    });
    one.collect()
}

#[test]
fn a_capture_of_two_nodes_is_started_changed_stopped_and_deleted_on_the_page() {
    let Some(_permit) = gate::beside_others().unwrap() else {
        return;
    };
    let Some(scene) = Scene::start() else {
        return;
    };
    let (lab, pair, daemons) = (&scene.lab, &scene.pair, [&scene.left, &scene.right]);
    let coordinator = lab.coordinator_of_two(pair, API).unwrap();
    let to = [10, 0, 0, 2].into();
    with_server(lab, pair, |runtime, server| {
        runtime.block_on(wrong_requests_start_nothing(server));
        let (status, answers) = runtime.block_on(start(server, &request(&expression())));
        assert_eq!(status, 201, "{answers}");
        assert_eq!(
            states(&answers),
            [("left", "running"), ("right", "running")]
        );
        let (status, problem) = runtime.block_on(start(server, &request("")));
        assert_eq!(status, 409, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("left: ") && detail.contains("right: "),
            "{detail}"
        );
        runtime.block_on(both(server, is_running));

        send(&pair.a, &pair.b, to, PACKETS).unwrap();
        runtime.block_on(both(server, |event| {
            let ledger = &event["capture"]["ledger"];
            ledger["written"] == PACKETS && ledger["lost"] == 0
        }));
        let (status, problem) = runtime.block_on(answered(server.delete(PAGE)));
        assert_eq!(status, 409, "it runs: {problem}");
        let change = json!({ "expression": "udp dst port 9", "limits": { "seconds": 200 } });
        let (status, answers) = runtime.block_on(patch(server, &change));
        assert_eq!(status, 200, "{answers}");
        for answer in answers["nodes"].as_array().unwrap() {
            let capture = &answer["capture"];
            assert_eq!(capture["recording"]["expression"], "udp dst port 9");
            assert_eq!(capture["limits"]["seconds"], 200);
        }
        // These the new expression leaves out.
        send(&pair.a, &pair.b, to, PACKETS).unwrap();
        let stop = format!("{PAGE}/stop");
        let (status, answers) = runtime.block_on(answered(server.post(&stop)));
        assert_eq!(status, 200, "{answers}");
        assert_eq!(
            states(&answers),
            [("left", "completed"), ("right", "completed")]
        );
        for daemon in daemons {
            nothing_is_missing(daemon);
        }
        let files = runtime.block_on(server.json(&format!("{PAGE}/files")));
        assert_eq!(files["nodes"].as_array().unwrap().len(), 2, "{files}");

        let (status, answers) = runtime.block_on(answered(server.delete(PAGE)));
        assert_eq!(status, 200, "{answers}");
        for daemon in daemons {
            daemon.client().unwrap().get("page").unwrap_err();
            assert!(!daemon.files("page").exists(), "files are left");
        }
        let (status, _) = runtime.block_on(answered(server.get(PAGE)));
        assert_eq!(status, 404);
        let log = server.log();
        for action in ["start", "change", "stop", "delete"] {
            let line = format!("action=\"{action} capture\"");
            assert!(log.contains(&line), "no {line}: {log}");
        }
    });
    let log = coordinator.stderr();
    let line = "audit: \"cert:CN:web\" StartClusterCapture \"page\"";
    assert!(log.contains(line), "no {line}: {log}");
}

async fn wrong_requests_start_nothing(server: &Server) {
    let body = |change: &dyn Fn(&mut Value)| {
        let mut body = request(&expression());
        change(&mut body);
        body
    };
    for (wrong, status, part) in [
        (body(&|body| body["name"] = "".into()), 400, "name"),
        (
            body(&|body| body["nodes"] = json!(["left", "middle"])),
            404,
            "left, right",
        ),
        (
            body(&|body| body["recording"]["expression"] = "tcp prot".into()),
            400,
            "prot",
        ),
        (
            body(&|body| body["pods"] = json!({ "namespaces": ["shop"] })),
            400,
            "pods",
        ),
        (
            body(&|body| body["pods"] = json!({ "names": ["web"] })),
            400,
            "pods.names",
        ),
        (
            body(&|body| body["recording"]["interfaces"] = json!(["eth7"])),
            409,
            "eth7",
        ),
    ] {
        let (found, problem) = start(server, &wrong).await;
        assert_eq!(found, status, "{wrong}: {problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(part),
            "{problem}"
        );
    }
    let captures = server.json(CAPTURES).await;
    assert_eq!(captures["captures"], json!([]));
    for (expression, valid) in [("tcp port 80", true), ("tcp prot 80", false)] {
        let body = json!({ "expression": expression, "node": "right" });
        let check = server.post("/api/v1/expression/check").json(&body);
        let (status, verdict) = answered(check).await;
        assert_eq!((status.as_u16(), &verdict["valid"]), (200, &valid.into()));
    }
}

/// The ledger has what was sent while it was asked for, and the daemon knows who asked.
fn nothing_is_missing(daemon: &Daemon) {
    let capture = daemon.client().unwrap().get("page").unwrap();
    wrote_all(&capture, PACKETS.into()).unwrap();
    for part in ["cert:CN:web", "web: ", "a slow page"] {
        assert!(capture.reason.contains(part), "{}", capture.reason);
    }
}

#[test]
fn what_one_of_two_nodes_cannot_do_is_told_and_the_other_one_does_it() {
    let Some(_permit) = gate::beside_others().unwrap() else {
        return;
    };
    let Some(scene) = Scene::start() else {
        return;
    };
    let Scene {
        lab,
        pair,
        left,
        right,
    } = scene;
    let _coordinator = lab.coordinator_of_two(&pair, API).unwrap();
    with_server(&lab, &pair, |runtime, server| {
        let _directories = right.kill().unwrap();
        let lost = |event: &Value| event["kind"] == "synced";
        runtime.block_on(server.event(EVENTS, lost));
        runtime.block_on(crate::server::until("right is lost", async || {
            let nodes = server.json("/api/v1/nodes").await;
            nodes["nodes"][1]["problem"].is_object()
        }));
        let (status, answers) = runtime.block_on(start(server, &request(&expression())));
        assert_eq!(status, 201, "{answers}");
        assert_eq!(states(&answers), [("left", "running"), ("right", "none")]);
        assert_eq!(answers["nodes"][1]["problem"]["status"], 503, "{answers}");
        send(&pair.a, &pair.b, [10, 0, 0, 2].into(), PACKETS).unwrap();
        let stop = format!("{PAGE}/stop?node=right");
        let (status, problem) = runtime.block_on(answered(server.post(&stop)));
        assert_eq!(status, 503, "{problem}");
        let stop = format!("{PAGE}/stop");
        let (status, answers) = runtime.block_on(answered(server.post(&stop)));
        assert_eq!(status, 200, "{answers}");
        nothing_is_missing(&left);
        let only = {
            let mut only = request("");
            only["nodes"] = json!(["right"]);
            only
        };
        let (status, problem) = runtime.block_on(start(server, &only));
        assert_eq!(status, 503, "no node did it: {problem}");
        let log = server.log();
        let line = "done on left; refused by right";
        assert!(log.contains(line), "no {line:?}: {log}");
    });
}
