//! A cluster is prepared for what it is.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse as _};
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, runtime},
    exporter,
    proxy::{Fault, Proxy},
    rules::{self, Sent},
};
use crate::support::Data;

#[test]
fn a_cluster_without_data_streams_gets_a_strict_template_and_an_alias_and_a_repeat_changes_nothing()
{
    let test = "a_cluster_without_data_streams_gets_a_strict_template_and_an_alias_and_a_repeat_changes_nothing";
    let Some(cluster) = Cluster::start(test) else {
        return;
    };
    let data = Data::new();
    let proxy = Proxy::start(cluster.url(), Box::new(|_, _| Fault::None));
    let exporter = exporter(data.path(), &proxy.url(), &cluster.index, "");
    let index = cluster.index.clone();
    let setup = ["search", "setup", "--sink", "search"];

    let would = exporter.prints(&[&setup[..], &["--dry-run"]].concat());
    assert!(
        would.contains("would send PUT /_index_template/"),
        "{would}"
    );
    assert!(
        proxy.seen().iter().all(|line| !line.starts_with("PUT")),
        "{:?}",
        proxy.seen()
    );

    let done = exporter.prints(&setup);
    assert!(
        done.contains(&format!("index template {index}: created")),
        "{done}"
    );
    let (status, template) = cluster.ask("GET", &format!("/_index_template/{index}"), None);
    assert_eq!(status, 200);
    let template = &template["index_templates"][0]["index_template"];
    assert_eq!(template["template"]["mappings"]["dynamic"], "strict");
    if !cluster.is_real() {
        // The server has neither data streams nor policies.
        assert!(done.contains("OpenSearch 3."), "{done}");
        assert!(done.contains("no lifecycle management"), "{done}");
        assert!(
            done.contains(&format!("index {index}-000001 with alias {index}: created")),
            "{done}"
        );
        let (_, aliases) = cluster.ask("GET", &format!("/_alias/{index}"), None);
        let alias = &aliases[format!("{index}-000001")]["aliases"][&index];
        assert_eq!(alias["is_write_index"], true);
    }
    let (_, before) = cluster.ask("GET", &format!("/{index}/_mapping"), None);
    let again = exporter.prints(&setup);
    assert!(again.contains("exists"), "{again}");
    let (_, after) = cluster.ask("GET", &format!("/{index}/_mapping"), None);
    assert_eq!(before, after);
    let mapping = before.as_object().unwrap().values().next().unwrap();
    let time = &mapping["mappings"]["properties"]["@timestamp"]["type"];
    assert_eq!(time, "date_nanos");
}

/// A stand-in for what no server here has: it answers like a cluster of this kind that has data streams and
/// policies, and like its dashboards, and keeps what it is sent. That a real one takes it is not shown by it.
struct StandIn {
    url: String,
    requests: Requests,
    task: tokio::task::JoinHandle<()>,
}

/// Methods with paths, and bodies.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

impl StandIn {
    fn start(root: Value) -> Self {
        let requests = Requests::default();
        let kept = Arc::clone(&requests);
        let answer = move |request: Request| {
            let (root, kept) = (root.to_string(), Arc::clone(&kept));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
                let path = head.uri.path().to_owned();
                let text =
                    |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
                let is_import = path.starts_with("/api/");
                if is_import {
                    let header = ["kbn-xsrf", "osd-xsrf"]
                        .into_iter()
                        .find(|name| text(name).is_some());
                    assert!(header.is_some(), "an import needs its header");
                } else {
                    let sent = Sent {
                        method: head.method.as_str(),
                        path: &path,
                        query: head.uri.query().unwrap_or_default(),
                        content_type: text("content-type"),
                        content_encoding: text("content-encoding"),
                        body: &body,
                    };
                    rules::check(&sent).unwrap();
                }
                kept.lock()
                    .unwrap()
                    .push((format!("{} {path}", head.method), body));
                match (head.method.as_str(), path.as_str()) {
                    ("GET", "/") => root.into_response(),
                    ("GET" | "HEAD", _) => (StatusCode::NOT_FOUND, "{}").into_response(),
                    _ if is_import => r#"{"success":true}"#.into_response(),
                    _ => r#"{"acknowledged":true}"#.into_response(),
                }
            }
        };
        let listener = runtime()
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = runtime().spawn(async move {
            axum::serve(listener, Router::new().fallback(answer))
                .await
                .unwrap();
        });
        Self {
            url,
            requests,
            task,
        }
    }

    /// What was sent in this request.
    fn sent(&self, line: &str) -> Vec<u8> {
        let requests = self.requests.lock().unwrap();
        let found = requests.iter().find(|(sent, _)| sent == line);
        let lines: Vec<&String> = requests.iter().map(|(sent, _)| sent).collect();
        found
            .unwrap_or_else(|| panic!("{line} is not in {lines:?}"))
            .1
            .clone()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_slice(&self.sent(line)).unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[test]
fn each_product_is_asked_what_it_is_and_gets_its_own_policy_data_stream_and_dashboards() {
    let elasticsearch = json!({"version": {"number": "8.15.0"}});
    let opensearch = json!({"version": {"number": "2.17.0", "distribution": "opensearch"}});
    for (root, policy, header) in [
        (elasticsearch, "/_ilm/policy/docs", "Elasticsearch 8.15.0"),
        (
            opensearch,
            "/_plugins/_ism/policies/docs",
            "OpenSearch 2.17.0",
        ),
    ] {
        let server = StandIn::start(root);
        let data = Data::new();
        let exporter = exporter(data.path(), &server.url, "docs", "");
        let url = server.url.clone();
        let done = exporter.prints(&[
            "search",
            "setup",
            "--sink",
            "search",
            "--keep",
            "7d",
            "--dashboards-url",
            &url,
        ]);
        assert!(
            done.contains(header) && done.contains("data stream docs: created"),
            "{done}"
        );
        assert!(
            server
                .sent(&format!("PUT {policy}"))
                .windows(4)
                .any(|text| text == b"\"7d\"")
        );
        let template = server.json("PUT /_index_template/docs");
        assert!(template["data_stream"].is_object());
        assert_eq!(template["template"]["mappings"]["dynamic"], "strict");
        server.sent("PUT /_data_stream/docs");
        let import = server.sent("POST /api/saved_objects/_import");
        let import = String::from_utf8(import).unwrap();
        assert!(import.contains("capture-dashboard") && import.contains("docs*"));
    }
}

#[test]
fn a_server_that_is_no_cluster_is_told_by_its_answer() {
    let server = StandIn::start(json!({"hello": "world"}));
    let data = Data::new();
    let exporter = exporter(data.path(), &server.url, "docs", "");
    let output = exporter.output(&["search", "setup", "--sink", "search"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("is no search server"),
        "{error}"
    );
}
