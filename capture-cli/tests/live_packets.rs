//! Packets from a node to a pipe, to lines and to tshark. The node is a server in this test, because a
//! reader that is too slow, and a node that breaks off, have to come at a known packet.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::HashMap,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use capture_proto::v1::{
    self, capture_service_server::CaptureService, node_service_server::NodeService,
};
use capture_tests::gate;
use futures_util::stream;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

use support::{Answer, Streamed, serve};

/// A node with one interface and one running capture of 20 packets; it records the requests.
#[derive(Clone, Default)]
struct Node {
    asked: Arc<Mutex<Vec<String>>>,
    breaks_off: bool,
}

const PACKETS: u64 = 20;

fn frame(number: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(4000, 53);
    builder.write(&mut frame, &number.to_be_bytes()).unwrap();
    frame
}

fn capture(name: &str, state: v1::CaptureState) -> v1::Capture {
    v1::Capture {
        name: name.to_owned(),
        state: state.into(),
        interfaces: vec![v1::InterfaceLedger {
            interface: "eth0".to_owned(),
            link_type: 1,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn packets(breaks_off: bool) -> Vec<Result<v1::StreamPacketsResponse, Status>> {
    use v1::stream_packets_response::Event;
    let batch = |numbers: std::ops::Range<u64>| {
        let packets = numbers.map(|number| v1::Packet {
            timestamp_ns: 1_700_000_000_000_000_000 + number,
            interface_id: 3,
            direction: v1::Direction::In.into(),
            original_length: 1000,
            data: frame(number).into(),
        });
        Event::Packets(v1::PacketBatch {
            packets: packets.collect(),
        })
    };
    let mut events = vec![
        Event::Interface(v1::PacketInterface {
            id: 3,
            name: "eth0".to_owned(),
            link_type: 1,
            snaplen: 262_144,
            ..Default::default()
        }),
        batch(0..5),
        Event::Missed(v1::PacketsMissed {
            packets: 7,
            total_packets: 7,
        }),
        batch(5..PACKETS),
    ];
    if !breaks_off {
        events.push(Event::Ended(capture("web", v1::CaptureState::Completed)));
    }
    let events = events.into_iter();
    events
        .map(|event| Ok(v1::StreamPacketsResponse { event: Some(event) }))
        .collect()
}

impl Node {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

#[tonic::async_trait]
impl CaptureService for Node {
    type WatchCapturesStream = Streamed<v1::WatchCapturesResponse>;
    type StreamPacketsStream = Streamed<v1::StreamPacketsResponse>;

    async fn start_capture(
        &self,
        request: Request<v1::StartCaptureRequest>,
    ) -> Answer<v1::StartCaptureResponse> {
        let request = request.into_inner();
        let spec = request.spec.unwrap_or_default();
        if spec.filter == "tcp prt 80" {
            return Err(Status::invalid_argument("spec.filter: syntax error"));
        }
        if !request.validate_only {
            let on = spec.interfaces.join(",");
            self.note(format!("start {on} {:?}", spec.filter));
        }
        Ok(Response::new(v1::StartCaptureResponse {
            capture: Some(capture(&request.name, v1::CaptureState::Running)),
        }))
    }

    async fn stop_capture(
        &self,
        _: Request<v1::StopCaptureRequest>,
    ) -> Answer<v1::StopCaptureResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_capture(
        &self,
        request: Request<v1::GetCaptureRequest>,
    ) -> Answer<v1::GetCaptureResponse> {
        let name = request.into_inner().name;
        Ok(Response::new(v1::GetCaptureResponse {
            capture: Some(capture(&name, v1::CaptureState::Running)),
        }))
    }

    async fn list_captures(
        &self,
        _: Request<v1::ListCapturesRequest>,
    ) -> Answer<v1::ListCapturesResponse> {
        Ok(Response::new(v1::ListCapturesResponse {
            captures: vec![capture("web", v1::CaptureState::Running)],
            ..Default::default()
        }))
    }

    async fn update_capture(
        &self,
        _: Request<v1::UpdateCaptureRequest>,
    ) -> Answer<v1::UpdateCaptureResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn delete_capture(
        &self,
        request: Request<v1::DeleteCaptureRequest>,
    ) -> Answer<v1::DeleteCaptureResponse> {
        let request = request.into_inner();
        self.note(format!("delete stop={}", request.stop));
        Ok(Response::new(v1::DeleteCaptureResponse::default()))
    }

    async fn watch_captures(
        &self,
        _: Request<v1::WatchCapturesRequest>,
    ) -> Answer<Self::WatchCapturesStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn stream_packets(
        &self,
        request: Request<v1::StreamPacketsRequest>,
    ) -> Answer<Self::StreamPacketsStream> {
        self.note(format!("stream {:?}", request.into_inner().filter));
        Ok(Response::new(Box::pin(stream::iter(packets(
            self.breaks_off,
        )))))
    }
}

#[tonic::async_trait]
impl NodeService for Node {
    type WatchInterfacesStream = Streamed<v1::WatchInterfacesResponse>;

    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_interfaces(
        &self,
        _: Request<v1::ListInterfacesRequest>,
    ) -> Answer<v1::ListInterfacesResponse> {
        let interface = |name: &str, link_type| v1::NetworkInterface {
            name: name.to_owned(),
            link_type,
            ..Default::default()
        };
        Ok(Response::new(v1::ListInterfacesResponse {
            interfaces: vec![interface("eth0", Some(1)), interface("can0", None)],
        }))
    }

    async fn watch_interfaces(
        &self,
        _: Request<v1::WatchInterfacesRequest>,
    ) -> Answer<Self::WatchInterfacesStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn set_log_level(
        &self,
        _: Request<v1::SetLogLevelRequest>,
    ) -> Answer<v1::SetLogLevelResponse> {
        Err(Status::unimplemented("not here"))
    }
}

/// The node, a socket to it, and a home directory for its client.
struct Scene {
    node: Node,
    home: TempDir,
    _runtime: Runtime,
}

impl Scene {
    fn new(breaks_off: bool) -> Self {
        let home = TempDir::new().unwrap();
        let node = Node {
            breaks_off,
            ..Node::default()
        };
        let listener = UnixListener::bind(home.path().join("socket")).unwrap();
        Self {
            _runtime: serve(node.clone(), listener, |services| services),
            node,
            home,
        }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let own: HashMap<_, _> = std::env::vars()
            .filter(|(name, _)| name == "PATH")
            .collect();
        command
            .env_clear()
            .envs(own)
            .env("HOME", self.home.path())
            .env("CAPTURECTL_SOCKET", self.home.path().join("socket"))
            .stdin(Stdio::null());
        command
    }

    fn capturectl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_capturectl"));
        command.args(arguments).output().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.node.asked.lock().unwrap().clone()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn numbers(file: &Path) -> Vec<u64> {
    let mut reader = capture_file::CaptureReader::new(std::fs::File::open(file).unwrap()).unwrap();
    let mut numbers = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let capture_file::Item::Packet(packet) = item {
            let (_, number) = packet.data.split_last_chunk().unwrap();
            numbers.push(u64::from_be_bytes(*number));
            assert_eq!(packet.original_length, 1000);
        }
    }
    numbers
}

#[test]
fn every_packet_comes_through_the_pipe_and_what_was_missed_is_told() {
    let scene = Scene::new(false);
    let output = scene.capturectl(&["tail", "web", "--filter", "udp"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let file = scene.home.path().join("tail.pcapng");
    std::fs::write(&file, &output.stdout).unwrap();
    assert_eq!(numbers(&file), (0..PACKETS).collect::<Vec<_>>());
    let told = stderr(&output);
    assert!(told.contains("too slow for 7 packets"), "{told}");
    assert!(told.contains("has ended: completed"), "{told}");
    assert_eq!(scene.asked(), ["stream \"udp\""]);

    let output = scene.capturectl(&["tail", "web", "--text", "-c", "6"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 6);
    let line = "2023-11-14T22:13:20.000000000Z eth0 In  IP 10.0.0.1.4000 > 10.0.0.2.53: UDP, \
                length 8 [50 captured]";
    assert_eq!(text.lines().next(), Some(line));
}

#[test]
fn a_node_that_breaks_off_is_not_taken_for_an_end() {
    let scene = Scene::new(true);
    let output = scene.capturectl(&["tail", "web"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let file = scene.home.path().join("tail.pcapng");
    std::fs::write(&file, &output.stdout).unwrap();
    assert_eq!(numbers(&file).len() as u64, PACKETS, "what came is there");
}

#[test]
fn tshark_lists_a_nodes_interfaces_and_captures_and_shows_their_packets() {
    if !gate::has_programs(&["tshark"]).unwrap() {
        return;
    }
    let scene = Scene::new(false);
    let installed = scene.capturectl(&["extcap", "install"]);
    assert!(installed.status.success(), "{}", stderr(&installed));
    let listed = scene.command("tshark").arg("-D").output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for line in [
        "captured/local/interface/eth0 (eth0 on local)",
        "captured/local/capture/web (capture web on local)",
    ] {
        assert!(listed.contains(line), "{listed}");
    }
    assert!(!listed.contains("can0"), "cannot be captured on: {listed}");

    for (interface, asked) in [
        ("captured/local/capture/web", &["stream \"udp\""][..]),
        (
            "captured/local/interface/eth0",
            &["start eth0 \"udp\"", "stream \"\"", "delete stop=true"],
        ),
    ] {
        scene.node.asked.lock().unwrap().clear();
        let file = scene.home.path().join("tshark.pcapng");
        let mut tshark = scene.command("tshark");
        tshark.args(["-i", interface, "-f", "udp", "-c", "20", "-w"]);
        let output = tshark.arg(&file).output().unwrap();
        assert_eq!(numbers(&file).len() as u64, PACKETS, "{}", stderr(&output));
        assert_eq!(scene.asked(), asked);
    }
}

#[test]
fn wireshark_is_told_what_is_wrong_with_a_filter() {
    let scene = Scene::new(false);
    let interface = "captured/local/interface/eth0";
    let check = |filter: &str| {
        let arguments = [
            "--extcap-interface",
            interface,
            "--extcap-capture-filter",
            filter,
        ];
        let output = scene.capturectl(&arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check("tcp port 80"), "");
    assert!(check("tcp prt 80").contains("syntax error"));
    let dlts = scene.capturectl(&["--extcap-interface", interface, "--extcap-dlts"]);
    let dlts = String::from_utf8(dlts.stdout).unwrap();
    assert!(dlts.starts_with("dlt {number=1}{name=EN10MB}"), "{dlts}");
    assert_eq!(scene.asked(), [] as [&str; 0], "asking starts nothing");
}
