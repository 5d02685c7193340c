//! A proxy before a cluster that checks every request, and makes faults where a test wants them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    cluster::runtime,
    rules::{self, Sent},
};

/// What becomes of a bulk request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It does not reach the cluster.
    Status(u16),
    /// It reaches the cluster, and the second half of the answer is lost.
    CutAnswer,
    /// It does not reach the cluster if it has this text.
    Having {
        text: &'static str,
        status: u16,
    },
    /// The connection ends before there is an answer, and the request does not reach the cluster.
    NoAnswer,
    /// These of its documents, by their position modulo a number, get this status and do not reach the cluster.
    Items {
        every: usize,
        status: u16,
    },
}

/// Decides, from the number of the bulk request and how many bytes it has uncompressed.
pub(crate) type Plan = Box<dyn Fn(u64, usize) -> Fault + Send + Sync>;

struct Shared {
    upstream: String,
    client: reqwest::Client,
    plan: Plan,
    bulks: AtomicU64,
    seen: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

/// The proxy, until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn start(upstream: &str, plan: Plan) -> Self {
        let shared = runtime().block_on(async {
            Arc::new(Shared {
                upstream: upstream.trim_end_matches('/').to_owned(),
                client: reqwest::Client::new(),
                plan,
                bulks: AtomicU64::new(0),
                seen: Mutex::default(),
                wrong: Mutex::default(),
            })
        });
        let listener = runtime()
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let task = runtime().spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bulk requests so far.
    pub(crate) fn bulks(&self) -> u64 {
        self.shared.bulks.load(Relaxed)
    }

    /// Methods and paths so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            let wrong = self.shared.wrong.lock().unwrap();
            assert!(wrong.is_empty(), "requests against the rules: {wrong:#?}");
        }
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let sent = Sent {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        content_type: text(header::CONTENT_TYPE),
        content_encoding: text(header::CONTENT_ENCODING),
        body: &body,
    };
    if let Err(wrong) = rules::check(&sent) {
        shared.wrong.lock().unwrap().push(wrong);
    }
    let line = format!("{} {}", sent.method, sent.path);
    shared.seen.lock().unwrap().push(line);
    let path = head.uri.to_string();
    if !head.uri.path().ends_with("/_bulk") {
        return shared
            .pass(head.method.as_str(), &path, &head.headers, body)
            .await;
    }
    let text = rules::unpacked(&body);
    let number = shared.bulks.fetch_add(1, Relaxed);
    match (shared.plan)(number, text.len()) {
        Fault::Having { text: part, status } if text.contains(part) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, "an injected fault").into_response()
        }
        Fault::None | Fault::Having { .. } => shared.pass("POST", &path, &head.headers, body).await,
        Fault::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::RETRY_AFTER, "0")], "an injected fault").into_response()
        }
        Fault::CutAnswer => {
            let answer = shared.pass("POST", &path, &head.headers, body).await;
            let whole = to_bytes(answer.into_body(), 64 << 20).await.unwrap();
            cut(whole.slice(..whole.len() / 2), whole.len())
        }
        Fault::NoAnswer => cut(Bytes::new(), 100),
        Fault::Items { every, status } => {
            let lines: Vec<&str> = text.lines().collect();
            shared.items(&path, &lines, every, status).await
        }
    }
}

/// An answer that promises so many bytes, and ends after fewer.
fn cut(start: Bytes, length: usize) -> Response {
    let parts = [Ok(start), Err(std::io::Error::other("cut"))];
    let body = Body::from_stream(futures_util::stream::iter(parts));
    ([(header::CONTENT_LENGTH, length.to_string())], body).into_response()
}

impl Shared {
    async fn pass(&self, method: &str, path: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let method: reqwest::Method = method.parse().unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.upstream));
        for name in [
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::AUTHORIZATION,
        ] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        (status, bytes).into_response()
    }

    /// Refuses some documents, and passes on the others.
    async fn items(&self, path: &str, lines: &[&str], every: usize, status: u16) -> Response {
        let refused = |at: usize| at.is_multiple_of(every);
        let pairs = lines.chunks(2).enumerate();
        let rest = pairs.filter(|(at, _)| !refused(*at));
        let rest: String = rest
            .map(|(_, pair)| format!("{}\n{}\n", pair[0], pair[1]))
            .collect();
        let mut passed = Vec::new();
        if !rest.is_empty() {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                "application/x-ndjson".parse().unwrap(),
            );
            let answer = self.pass("POST", path, &headers, rest.into()).await;
            let bytes = to_bytes(answer.into_body(), 64 << 20).await.unwrap();
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            passed.clone_from(answer["items"].as_array().unwrap());
        }
        let mut passed = passed.into_iter();
        let error = json!({"type": "injected", "reason": "a \"fault\"\n of this document"});
        let items = (0..lines.len() / 2).map(|at| match refused(at) {
            true => json!({"create": {"status": status, "error": error}}),
            false => passed.next().unwrap(),
        });
        let items: Vec<Value> = items.collect();
        json!({"errors": true, "items": items})
            .to_string()
            .into_response()
    }
}
