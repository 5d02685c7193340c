//! Captures of two nodes, through a real coordinator without Kubernetes.

use capture_tests::{
    daemon::{Client, Daemon, spec, wrote_all},
    gate,
    lab::Lab,
    netns::Pair,
    pods::{PORT, send},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    capture::packets,
    server::{Server, until},
};

pub(crate) const API: &str = "10.0.0.1:9444";
const PACKETS: u32 = 150;
pub(crate) const EVENTS: &str = "/api/v1/captures/events";

/// Two network namespaces, and a daemon with certificates in each.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) pair: Pair,
    pub(crate) left: Daemon,
    pub(crate) right: Daemon,
}

impl Scene {
    /// `None`: this machine cannot, which has been reported.
    pub(crate) fn start() -> Option<Self> {
        if std::env::var_os("CAPTURED").is_none() {
            gate::cannot_run("CAPTURED does not name the daemon's program").unwrap();
            return None;
        }
        let (lab, pair) = (Lab::new().unwrap(), Pair::new().unwrap());
        Some(Self {
            left: lab.daemon(&pair.a, "10.0.0.1", "left").unwrap(),
            right: lab.daemon(&pair.b, "10.0.0.2", "right").unwrap(),
            lab,
            pair,
        })
    }
}

/// Runs a test where the coordinator can be reached: in the first namespace, with a server there.
pub(crate) fn with_server(lab: &Lab, pair: &Pair, test: impl FnOnce(&Runtime, &Server) + Send) {
    let own = lab.client("web").unwrap();
    own.write(lab.directory.path(), "web").unwrap();
    let files = ["ca.pem", "web.pem", "web.key"].map(|name| lab.path(name));
    pair.a.run(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let server = Server::start(&[
            ("CAPTURE_WEB_LIVE", "true"),
            ("CAPTURE_WEB_COORDINATOR", API),
            ("CAPTURE_WEB_CACERT", &files[0]),
            ("CAPTURE_WEB_CERT", &files[1]),
            ("CAPTURE_WEB_KEY", &files[2]),
            ("CAPTURE_WEB_TLS_SERVER_NAME", "localhost"),
        ]);
        test(&runtime, &server);
    });
}

/// Starts a capture on both nodes.
fn capture(daemons: [&Daemon; 2], name: &str) {
    let filter = format!("udp dst port {PORT}");
    for daemon in daemons {
        let client = daemon.client().unwrap();
        client.start(name, spec("eth0", &filter)).unwrap();
    }
}

/// Waits until events of both nodes were as they should be.
pub(crate) async fn both(server: &Server, is_it: impl Fn(&Value) -> bool) {
    let (mut left, mut right) = (false, false);
    let all = |event: &Value| {
        left |= event["node"] == "left" && is_it(event);
        right |= event["node"] == "right" && is_it(event);
        left && right
    };
    server.event(EVENTS, all).await;
}

#[test]
fn captures_of_two_nodes_are_followed_downloaded_and_analysed_through_a_coordinator() {
    let Some(_permit) = gate::beside_others().unwrap() else {
        return;
    };
    let Some(scene) = Scene::start() else {
        return;
    };
    let (lab, pair, daemons) = (&scene.lab, &scene.pair, [&scene.left, &scene.right]);
    let _coordinator = lab.coordinator_of_two(pair, API).unwrap();
    with_server(lab, pair, |runtime, server| {
        runtime.block_on(nothing_is_shown_but_the_nodes(server));
        capture(daemons, "web");
        runtime.block_on(both(server, is_running));
        send(&pair.a, &pair.b, [10, 0, 0, 2].into(), PACKETS).unwrap();
        runtime.block_on(both(server, |event| {
            let ledger = &event["capture"]["ledger"];
            ledger["written"] == PACKETS && ledger["lost"] == 0
        }));
        for daemon in daemons {
            let ended = daemon.client().unwrap().stop("web").unwrap();
            wrote_all(&ended, PACKETS.into()).unwrap();
        }
        runtime.block_on(both(server, |event| event["capture"]["ended"] == true));
        runtime.block_on(files_arrive(server));
        for daemon in daemons {
            daemon.client().unwrap().delete("web").unwrap();
        }
        runtime.block_on(until("the capture is gone", async || {
            let path = "/api/v1/captures/web";
            server.get(path).send().await.unwrap().status() == 404
        }));
    });
}

pub(crate) fn is_running(event: &Value) -> bool {
    event["capture"]["state"] == "running"
}

async fn nothing_is_shown_but_the_nodes(server: &Server) {
    let nodes = server.json("/api/v1/nodes").await;
    for (at, name) in ["left", "right"].into_iter().enumerate() {
        let node = &nodes["nodes"][at];
        assert_eq!(node["node"], name, "{nodes}");
        assert_eq!(node["facts"]["name"], name, "{nodes}");
    }
    // The page is told, and does not wait.
    server
        .event(EVENTS, |event| event["kind"] == "synced")
        .await;
    assert_eq!(nodes["kubernetes"], false);
}

/// The files of both nodes: one of them, both merged, both analysed.
async fn files_arrive(server: &Server) {
    let files = server.json("/api/v1/captures/web/files").await;
    assert_eq!(files["nodes"].as_array().unwrap().len(), 2, "{files}");
    let file = &files["nodes"][1]["files"][0];
    assert_eq!(files["nodes"][1]["node"], "right");
    let name = file["name"].as_str().unwrap();
    let path = format!("/api/v1/captures/web/files/{name}");
    let which = server.get(&path).send().await.unwrap();
    assert_eq!(which.status(), 400, "of which node?");
    let path = format!("{path}?node=right");
    let whole = server.get(&path).send().await.unwrap();
    let whole = whole.bytes().await.unwrap();
    assert_eq!(whole.len() as u64, file["bytes"].as_u64().unwrap());
    let rest = server.get(&path).header("range", "bytes=100-").send().await;
    assert_eq!(rest.unwrap().bytes().await.unwrap(), whole[100..]);

    let merged = server.get("/api/v1/captures/web/merged").send().await;
    let merged = merged.unwrap();
    assert_eq!(merged.status(), 200);
    let merged = merged.bytes().await.unwrap();
    assert_eq!(packets(&merged), 2 * u64::from(PACKETS));
    let analysis = server.post("/api/v1/captures/web/analyze").send().await;
    let analysis = analysis.unwrap();
    assert_eq!(analysis.status(), 202);
    let accepted: Value = analysis.json().await.unwrap();
    let task = server.ended(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!(task["packets"], 2 * PACKETS, "{task}");
}

#[test]
fn a_node_or_a_coordinator_that_is_lost_is_told_and_followed_again_when_it_is_back() {
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
    let coordinator = lab.coordinator_of_two(&pair, API).unwrap();
    capture([&left, &right], "web");
    capture([&left, &right], "other");
    with_server(&lab, &pair, |runtime, server| {
        runtime.block_on(both(server, is_running));
        runtime.block_on(a_deletion_is_told(server, &left));

        let problem_of = |node: &'static str| {
            move |event: &Value| event["kind"] == "problem" && event["node"] == node
        };
        let _directories = right.kill().unwrap();
        runtime.block_on(server.event(EVENTS, problem_of("right")));
        // The other node is followed on.
        left.client().unwrap().stop("web").unwrap();
        let ended = |event: &Value| event["node"] == "left" && event["capture"]["ended"] == true;
        runtime.block_on(server.event(EVENTS, ended));

        drop(coordinator);
        let lost = runtime.block_on(server.event(EVENTS, problem_of("the coordinator")));
        assert_eq!(lost["problem"]["status"], 503, "{lost}");
        let _right = lab.daemon(&pair.b, "10.0.0.2", "right").unwrap();
        let _coordinator = lab.coordinator_of_two(&pair, API).unwrap();
        for node in ["the coordinator", "right"] {
            let is_back = |event: &Value| event["kind"] == "synced" && event["node"] == node;
            runtime.block_on(server.event(EVENTS, is_back));
        }
    });
}

/// A page that was open all the time is told that a capture is gone.
async fn a_deletion_is_told(server: &Server, daemon: &Daemon) {
    let (open, opened) = tokio::sync::oneshot::channel();
    let mut open = Some(open);
    let told = server.event(EVENTS, |event| {
        if let Some(open) = open.take() {
            open.send(()).unwrap();
        }
        event["kind"] == "deleted"
    });
    let socket = daemon.socket();
    let delete = async {
        opened.await.unwrap();
        let delete = move || Client::new(&socket).unwrap().delete("other").unwrap();
        tokio::task::spawn_blocking(delete).await.unwrap();
    };
    let (event, ()) = tokio::join!(told, delete);
    assert_eq!(event["node"], "left");
    assert_eq!(event["capture"]["name"], "other");
}
