//! A malicious node: its names and messages contain control characters, and its lists never end. It
//! listens on an abstract socket.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    os::linux::net::SocketAddrExt as _,
    os::unix::net::{SocketAddr, UnixListener},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use capture_proto::v1::{
    self,
    capture_service_server::CaptureService,
    file_service_server::{FileService, FileServiceServer},
    node_service_server::NodeService,
};
use futures_util::stream;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

use support::{Answer, Streamed, serve};

/// Clears the screen, with a 7-bit and an 8-bit sequence, reverses the text direction, and ends a line.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}2J\u{202e}\u{7f}\ry";

#[derive(Clone, Copy)]
struct Node {
    endless: bool,
}

fn capture() -> v1::Capture {
    let text = || HOSTILE.to_owned();
    v1::Capture {
        name: text(),
        uid: text(),
        message: text(),
        created_by: text(),
        reason: text(),
        current_file: text(),
        warnings: vec![text()],
        labels: [(text(), text())].into(),
        state: v1::CaptureState::Completed.into(),
        spec: Some(v1::CaptureSpec {
            interfaces: vec![text()],
            filter: text(),
            targets: vec![text()],
            inner_filter: Some(v1::InnerFilter {
                expression: text(),
                tunnels: vec![text()],
            }),
            ..Default::default()
        }),
        interfaces: vec![v1::InterfaceLedger {
            interface: text(),
            link_type: 1,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn file() -> v1::File {
    v1::File {
        capture: HOSTILE.to_owned(),
        name: HOSTILE.to_owned(),
        state: v1::FileState::Finished.into(),
        digest: HOSTILE.repeat(3),
        ..Default::default()
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
        if request.into_inner().name == "refused" {
            return Err(Status::invalid_argument(HOSTILE));
        }
        let capture = Some(capture());
        Ok(Response::new(v1::StartCaptureResponse { capture }))
    }

    async fn stop_capture(
        &self,
        _: Request<v1::StopCaptureRequest>,
    ) -> Answer<v1::StopCaptureResponse> {
        let capture = Some(capture());
        Ok(Response::new(v1::StopCaptureResponse { capture }))
    }

    async fn get_capture(
        &self,
        _: Request<v1::GetCaptureRequest>,
    ) -> Answer<v1::GetCaptureResponse> {
        let capture = Some(capture());
        Ok(Response::new(v1::GetCaptureResponse { capture }))
    }

    async fn list_captures(
        &self,
        _: Request<v1::ListCapturesRequest>,
    ) -> Answer<v1::ListCapturesResponse> {
        Ok(Response::new(v1::ListCapturesResponse {
            captures: vec![capture()],
            next_page_token: if self.endless {
                "again".to_owned()
            } else {
                String::new()
            },
            ..Default::default()
        }))
    }

    async fn update_capture(
        &self,
        _: Request<v1::UpdateCaptureRequest>,
    ) -> Answer<v1::UpdateCaptureResponse> {
        let capture = Some(capture());
        Ok(Response::new(v1::UpdateCaptureResponse { capture }))
    }

    async fn delete_capture(
        &self,
        _: Request<v1::DeleteCaptureRequest>,
    ) -> Answer<v1::DeleteCaptureResponse> {
        Ok(Response::new(v1::DeleteCaptureResponse {
            capture: Some(capture()),
            ..Default::default()
        }))
    }

    async fn watch_captures(
        &self,
        _: Request<v1::WatchCapturesRequest>,
    ) -> Answer<Self::WatchCapturesStream> {
        let event = v1::WatchCapturesResponse {
            r#type: v1::EventType::Present.into(),
            capture: Some(capture()),
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(event)]))))
    }

    async fn stream_packets(
        &self,
        _: Request<v1::StreamPacketsRequest>,
    ) -> Answer<Self::StreamPacketsStream> {
        use v1::stream_packets_response::Event;
        let interface = v1::PacketInterface {
            id: 1,
            name: HOSTILE.to_owned(),
            link_type: 1,
            ..Default::default()
        };
        let batch = v1::PacketBatch {
            packets: vec![v1::Packet {
                interface_id: 1,
                original_length: 60,
                data: vec![0x1b; 60].into(),
                ..Default::default()
            }],
        };
        let events = [
            Event::Interface(interface),
            Event::Packets(batch),
            Event::Ended(capture()),
        ];
        let events = events.map(|event| Ok(v1::StreamPacketsResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(stream::iter(events))))
    }
}

#[tonic::async_trait]
impl FileService for Node {
    type ReadFileStream = Streamed<v1::ReadFileResponse>;

    async fn list_files(&self, _: Request<v1::ListFilesRequest>) -> Answer<v1::ListFilesResponse> {
        Ok(Response::new(v1::ListFilesResponse {
            files: vec![file()],
            next_page_token: if self.endless {
                "again".to_owned()
            } else {
                String::new()
            },
            ..Default::default()
        }))
    }

    async fn read_file(&self, _: Request<v1::ReadFileRequest>) -> Answer<Self::ReadFileStream> {
        Err(Status::not_found(HOSTILE))
    }

    async fn delete_file(
        &self,
        _: Request<v1::DeleteFileRequest>,
    ) -> Answer<v1::DeleteFileResponse> {
        Ok(Response::new(v1::DeleteFileResponse { file: Some(file()) }))
    }
}

#[tonic::async_trait]
impl NodeService for Node {
    type WatchInterfacesStream = Streamed<v1::WatchInterfacesResponse>;

    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        let text = || HOSTILE.to_owned();
        Ok(Response::new(v1::GetNodeResponse {
            node: Some(v1::Node {
                name: text(),
                version: text(),
                kernel_release: text(),
                caller: text(),
                caller_role: text(),
                log_level: text(),
                ..Default::default()
            }),
        }))
    }

    async fn list_interfaces(
        &self,
        _: Request<v1::ListInterfacesRequest>,
    ) -> Answer<v1::ListInterfacesResponse> {
        Ok(Response::new(v1::ListInterfacesResponse {
            interfaces: vec![v1::NetworkInterface {
                name: HOSTILE.to_owned(),
                captures: vec![HOSTILE.to_owned()],
                ..Default::default()
            }],
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

/// The node, at an abstract socket.
struct Scene {
    socket: String,
    _runtime: Runtime,
}

impl Scene {
    fn new(node: Node) -> Self {
        static SCENES: AtomicU32 = AtomicU32::new(0);
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let name = format!("hostile-node-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        Self {
            socket: format!("@{name}"),
            _runtime: serve(node, listener, |services| {
                services.add_service(FileServiceServer::new(node))
            }),
        }
    }

    fn command(&self) -> Command {
        let home = std::env::temp_dir().join("no-home-for-capturectl");
        let mut command = Command::new(env!("CARGO_BIN_EXE_capturectl"));
        command
            .env_clear()
            .env("HOME", home)
            .args(["--socket", &self.socket])
            .stdin(Stdio::null());
        command
    }

    fn capturectl(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }
}

#[test]
fn no_control_character_of_a_node_reaches_a_terminal() {
    let scene = Scene::new(Node { endless: false });
    let commands: [&[&str]; 16] = [
        &["list"],
        &["get", "web"],
        &["start", "web"],
        &["start", "refused"],
        &["stop", "web"],
        &["update", "web", "--no-filter"],
        &["rm", "web"],
        &["watch", "web"],
        &["files", "web"],
        &["prune", "web", "--keep", "0"],
        &["verify", "web"],
        &["pull", "web", "--into", "/proc/self/no-such-place"],
        &["tail", "web", "--text"],
        &["interfaces"],
        &["node"],
        &["filter", "check", "ip"],
    ];
    for command in commands {
        for format in ["table", "json", "yaml"] {
            let output = scene.capturectl(&[&["-o", format], command].concat());
            for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let raw = text.chars().find(|character| {
                    (character.is_control() && *character != '\n') || *character == '\u{202e}'
                });
                // YAML escapes control characters, but not characters that change the text
                // direction.
                let raw = raw.filter(|raw| format != "yaml" || raw.is_control());
                assert_eq!(raw, None, "{command:?} -o {format}, {stream}: {text:?}");
            }
            assert!(
                !output.stdout.is_empty() || !output.stderr.is_empty(),
                "{command:?} says something"
            );
        }
    }
    let listed = scene.capturectl(&["-o", "json", "list"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        listed[0]["name"], HOSTILE,
        "programs get what the node says"
    );
}

#[test]
fn a_list_that_never_ends_is_refused() {
    let scene = Scene::new(Node { endless: true });
    for command in [&["list"][..], &["files", "web"]] {
        let output = scene.capturectl(command);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{told}");
        assert!(told.contains("same page"), "{told}");
    }
}

#[test]
fn an_output_that_cannot_be_written_to_is_an_error_and_no_panic() {
    let scene = Scene::new(Node { endless: false });
    for (redirected, code) in [("2>/dev/full", 0), (">/dev/full", 1), ("2>&-", 0)] {
        let mut shell = Command::new("sh");
        let script = format!("exec \"$0\" --socket \"$1\" list {redirected}");
        shell
            .env_clear()
            .args([
                "-c",
                &script,
                env!("CARGO_BIN_EXE_capturectl"),
                &scene.socket,
            ])
            .stdin(Stdio::null());
        let status = shell.output().unwrap().status;
        assert_eq!(status.code(), Some(code), "{redirected}");
    }
    let status = Command::new("sh")
        .env_clear()
        .args([
            "-c",
            "exec \"$0\" --socket @nobody-listens-here list 2>/dev/full",
        ])
        .arg(env!("CARGO_BIN_EXE_capturectl"))
        .status()
        .unwrap();
    assert_eq!(
        status.code(),
        Some(4),
        "nobody is told, and the status says it"
    );
}
