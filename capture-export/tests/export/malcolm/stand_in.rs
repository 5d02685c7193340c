//! A stand-in for Malcolm's HTTP side. It follows the rules of Malcolm's `submit.php` and of its upload watcher, as its
//! published source has them, and says so where it rejects: the form field is `filepond`; names lose every character
//! other than letters, digits, white space and `_(),-`; what is neither pcap nor pcapng is deleted without a word; and
//! `mapi/ready` and Arkime's `api/files` answer as Malcolm's pages use them. Everything behind, such as the analysis, is
//! unproven until a real Malcolm gets the files.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::IntoResponse,
    routing::{get, post},
};
use base64::Engine as _;
use serde_json::json;
use tokio::sync::oneshot;

pub(crate) const USER: &str = "analyst";
pub(crate) const PASSWORD: &str = "s3cr3t-of-malcolm";

/// What the stand-in has, and how it behaves.
#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) ready: bool,
    pub(crate) indexes: bool,
    /// The status of the next uploads.
    pub(crate) refuse: Vec<u16>,
    /// Files that the watcher kept, by name.
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
    /// Names of files that it deleted.
    pub(crate) deleted: Vec<String>,
    pub(crate) uploads: usize,
}

pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    pub(crate) inside: Arc<Mutex<Inside>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Shared = State<Arc<Mutex<Inside>>>;

impl StandIn {
    pub(crate) fn start() -> Self {
        let inside = Arc::new(Mutex::new(Inside::default()));
        let router = Router::new()
            .route("/mapi/ready", get(ready))
            .route("/upload/server/php/submit.php", post(submit))
            .route("/arkime/api/files", get(files))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&inside));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address,
            inside,
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    headers
        .get(AUTHORIZATION)
        .is_some_and(|value| *value == format!("Basic {expected}"))
}

async fn ready(State(inside): Shared, headers: HeaderMap) -> impl IntoResponse {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let ready = inside.lock().unwrap().ready;
    let services = json!({
        "arkime": true, "logstash_lumberjack": true, "logstash_pipelines": ready, "opensearch": true,
        "pcap_monitor": true, "netbox": false,
    });
    Json(services).into_response()
}

async fn submit(State(inside): Shared, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut inside = inside.lock().unwrap();
    inside.uploads += 1;
    if !inside.refuse.is_empty() {
        let status = inside.refuse.remove(0);
        return StatusCode::from_u16(status).unwrap();
    }
    // PHP needs the length of a form beforehand.
    assert!(headers.contains_key("content-length"));
    let (field, name, content) = part(&headers, &body);
    if field != "filepond" {
        return StatusCode::BAD_REQUEST;
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
    let clean = |text: &str| -> String {
        let keep = |c: &char| c.is_ascii_alphanumeric() || " \t_(),-".contains(*c);
        text.chars().filter(keep).collect()
    };
    let name = format!("{}.{}", clean(stem), clean(extension));
    // What the watcher tells by its first bytes.
    let magic = content.get(..4).unwrap_or_default();
    let is_capture = [0xa1b2_3c4d_u32, 0xa1b2_c3d4, 0x0a0d_0d0a]
        .iter()
        .any(|known| known.to_ne_bytes() == magic);
    if is_capture && content.len() > 24 {
        inside.kept.insert(name, content);
    } else {
        inside.deleted.push(name);
    }
    StatusCode::OK
}

/// The only part of a form: its field, file name and content.
fn part(headers: &HeaderMap, body: &[u8]) -> (String, String, Vec<u8>) {
    let kind = headers["content-type"].to_str().unwrap();
    let boundary = kind.split_once("boundary=").unwrap().1.trim_matches('"');
    let find = |needle: &[u8]| {
        body.windows(needle.len())
            .position(|at| at == needle)
            .unwrap()
    };
    let start = find(b"\r\n\r\n") + 4;
    let end = find(format!("\r\n--{boundary}--").as_bytes());
    let head = String::from_utf8(body[..start].to_vec()).unwrap();
    let value = |name: &str| {
        let after = head.split_once(&format!(" {name}=\"")).unwrap().1;
        after.split_once('"').unwrap().0.to_owned()
    };
    (value("name"), value("filename"), body[start..end].to_vec())
}

async fn files(
    State(inside): Shared,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<serde_json::Value> {
    let inside = inside.lock().unwrap();
    let listed = inside
        .kept
        .keys()
        .filter(|name| inside.indexes && name.contains(&query["filter"]));
    let data: Vec<_> = listed
        .map(|name| json!({ "name": format!("/data/pcap/processed/{name}") }))
        .collect();
    Json(json!({ "recordsTotal": data.len(), "data": data }))
}
