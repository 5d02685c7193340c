//! A running server, which ends with its guard.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use capture_tests::usage;
use futures_util::StreamExt as _;
use reqwest::{
    RequestBuilder, Response,
    multipart::{Form, Part},
};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it is.
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    /// Its data, unless the test has them.
    data: PathBuf,
    _own: Option<TempDir>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server with data of its own.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut server = Self::on(own.path(), settings);
        server._own = Some(own);
        server
    }

    /// Starts a server on these data.
    pub(crate) fn on(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_capture-web"))
            .env_clear()
            .env("DATA_DIR", data)
            .env("CAPTURE_WEB_LISTEN", "127.0.0.1:0")
            .env("CAPTURE_WEB_METRICS", "")
            .env("CAPTURE_WEB_MIN_FREE", "0")
            .env("CAPTURE_WEB_LIVE", "false")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            url = line
                .split_once("the page is at ")
                .map(|(_, url)| url.to_owned());
            log.lock().unwrap().push(line);
            if url.is_some() {
                break;
            }
        }
        let url = url.unwrap_or_else(|| panic!("no server: {:?}", log.lock().unwrap()));
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            url,
            client: client(),
            data: data.to_owned(),
            _own: None,
            log,
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end; whether it ended well.
    pub(crate) fn end(&mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(format!("{}{path}", self.url))
    }

    /// The JSON of a path.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The first of server-sent events that is the one waited for.
    pub(crate) async fn event(&self, path: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let found = async {
            let response = self.get(path).send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let mut events = response.bytes_stream();
            let mut text = String::new();
            loop {
                let part = events.next().await.expect("events go on").unwrap();
                text += &String::from_utf8_lossy(&part);
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                    let data = data.map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
                    if is_it(&data) {
                        return data;
                    }
                    text = rest.to_owned();
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("not the event that was waited for: {}", self.log()))
    }

    /// The processes that work on its tasks at the moment.
    pub(crate) fn workers(&self) -> Vec<u32> {
        usage::children(self.pid())
    }

    /// Uploads files.
    pub(crate) async fn upload(&self, files: &[(&str, Vec<u8>)]) -> Response {
        let mut form = Form::new();
        for (name, content) in files {
            let part = Part::bytes(content.clone()).file_name((*name).to_owned());
            form = form.part("file", part);
        }
        let request = self.post("/api/v1/uploads").multipart(form);
        request.send().await.unwrap()
    }

    /// Uploads a file that is accepted; returns its task.
    pub(crate) async fn task(&self, name: &str, content: Vec<u8>) -> String {
        let response = self.upload(&[(name, content)]).await;
        assert_eq!(response.status(), 202);
        let accepted: Value = response.json().await.unwrap();
        accepted["task_id"].as_str().unwrap().to_owned()
    }

    /// Waits for the end of a task.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let task = self.json(&format!("/api/v1/tasks/{id}")).await;
            if task["state"] == "done" || task["state"] == "failed" {
                return task;
            }
            assert!(Instant::now() < until, "{task} {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The tasks that have files.
    pub(crate) fn stored(&self) -> Vec<String> {
        stored(&self.data)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client with its own connections.
pub(crate) fn client() -> reqwest::Client {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The tasks that have files in a data directory.
pub(crate) fn stored(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("files")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
