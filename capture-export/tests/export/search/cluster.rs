//! A search cluster to test with: OpenSearch's API by `osmem-server`, or the real one at `SEARCH_URL`, with the login
//! in `ELASTIC_USER` and `ELASTIC_PASSWORD`.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};

use crate::support::skipped;

/// A cluster, and an index of its own in it.
pub(crate) struct Cluster {
    server: Option<Child>,
    url: String,
    pub(crate) index: String,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    /// `None`: there is none here, which has been reported.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let number = NUMBER.fetch_add(1, Relaxed);
        let index = format!("capture-test-{}-{number}", std::process::id());
        if let Ok(url) = env::var("SEARCH_URL") {
            return Some(Self {
                server: None,
                url,
                index,
            });
        }
        let Some(program) = program() else {
            skipped(
                test,
                "osmem-server is missing; `cargo xtask setup` installs it into target/python",
            );
            return None;
        };
        let mut server = Command::new(program)
            // It ends when the test does, whatever happens to that.
            .arg("-parent-pid")
            .arg(std::process::id().to_string())
            .args(["-no-stdin-watch", "-no-ja"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Some(Self {
            server: Some(server),
            url: said["url"].as_str().unwrap().to_owned(),
            index,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is a real one.
    pub(crate) fn is_real(&self) -> bool {
        self.server.is_none()
    }

    /// A request, and its answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        http(method, &format!("{}{path}", self.url), body)
    }

    /// Documents of a kind that the cluster has; of every kind, if there is none.
    pub(crate) fn count(&self, kind: &str) -> u64 {
        let query = if kind.is_empty() {
            json!({"match_all": {}})
        } else {
            json!({"term": {"event.dataset": format!("capture.{kind}")}})
        };
        self.ask("POST", &format!("/{}/_refresh", self.index), None);
        let path = format!("/{}/_count", self.index);
        let (status, answer) = self.ask("POST", &path, Some(&json!({"query": query})));
        if status == 404 {
            return 0;
        }
        answer["count"]
            .as_u64()
            .unwrap_or_else(|| panic!("{status}: {answer}"))
    }

    /// Documents that match, up to a thousand.
    pub(crate) fn search(&self, query: &Value) -> Vec<Value> {
        self.ask("POST", &format!("/{}/_refresh", self.index), None);
        let body = json!({"size": 1000, "query": query, "sort": [{"@timestamp": "asc"}]});
        let path = format!("/{}/_search", self.index);
        let (status, answer) = self.ask("POST", &path, Some(&body));
        assert_eq!(status, 200, "{answer}");
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        hits.into_iter()
            .map(|mut hit| hit["_source"].take())
            .collect()
    }

    /// Documents of a kind, by time.
    pub(crate) fn documents(&self, kind: &str) -> Vec<Value> {
        self.search(&json!({"term": {"event.dataset": format!("capture.{kind}")}}))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match &mut self.server {
            Some(server) => {
                // It may have ended.
                let _ = server.kill();
                let _ = server.wait();
            }
            None => {
                let index = &self.index;
                for path in [
                    format!("/_data_stream/{index}"),
                    format!("/{index}-000001"),
                    format!("/{index}"),
                    format!("/_index_template/{index}"),
                    format!("/_ilm/policy/{index}"),
                    format!("/_plugins/_ism/policies/{index}"),
                ] {
                    // Most of these do not exist.
                    self.ask("DELETE", &path, None);
                }
            }
        }
    }
}

/// The server in the Python environment of `cargo xtask setup`.
fn program() -> Option<PathBuf> {
    let lib = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/lib");
    let pythons = std::fs::read_dir(lib).ok()?.flatten();
    pythons
        .map(|python| {
            python
                .path()
                .join("site-packages/osmem_server/bin/osmem-server")
        })
        .find(|path| path.is_file())
}

pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio_rustls::rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// A request to any URL: the status, and the answer if it is JSON.
pub(crate) fn http(method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    runtime().block_on(async {
        let client = CLIENT.get_or_init(reqwest::Client::new);
        let mut request = client.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let (Ok(user), Ok(password)) = (env::var("ELASTIC_USER"), env::var("ELASTIC_PASSWORD")) {
            request = request.basic_auth(user, Some(password));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    })
}
