//! Who may do what: accounts, tokens, a trusted proxy, TLS.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    capture::syns,
    server::{Server, until},
};

/// What `capture-web` prints.
fn says(arguments: &[&str], stdin: &str) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_capture-web"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// A file with accounts of each role, and a token for an analyst.
struct Accounts {
    directory: TempDir,
    token: String,
}

impl Accounts {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut file = String::new();
        for (name, role) in [
            ("vera", "viewer"),
            ("anna", "analyst"),
            ("otto", "analyst"),
            ("adam", "admin"),
        ] {
            let password = format!("password of {name}\n");
            file += &says(&["account", name, "--role", role], &password).0;
        }
        let (entry, told) = says(&["token", "ci", "--role", "analyst"], "");
        file += &entry;
        let token = told.lines().last().unwrap().to_owned();
        assert!(!file.contains(&token), "only its hash is stored");
        std::fs::write(directory.path().join("accounts.toml"), file).unwrap();
        Self { directory, token }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("accounts.toml")
    }

    fn server(&self) -> Server {
        Server::start(&[("CAPTURE_WEB_ACCOUNTS", self.path().to_str().unwrap())])
    }
}

/// A logged-in user.
struct User {
    cookie: String,
    csrf: String,
}

impl User {
    async fn log_in(server: &Server, name: &str) -> Self {
        let response = log_in(server, name, &format!("password of {name}")).await;
        assert_eq!(response.status(), 200);
        let cookie = response.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        let session: Value = response.json().await.unwrap();
        assert_eq!(session["user"], name);
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: session["csrf"].as_str().unwrap().to_owned(),
        }
    }

    async fn get(&self, server: &Server, path: &str) -> Response {
        let request = server.get(path).header("cookie", &self.cookie);
        request.send().await.unwrap()
    }

    async fn upload(&self, server: &Server, csrf: Option<&str>) -> Response {
        let part = reqwest::multipart::Part::bytes(syns(5)).file_name("a.pcap");
        let form = reqwest::multipart::Form::new().part("file", part);
        let mut request = server
            .post("/api/v1/uploads")
            .header("cookie", &self.cookie);
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        request.multipart(form).send().await.unwrap()
    }
}

async fn log_in(server: &Server, user: &str, password: &str) -> Response {
    let body = json!({ "user": user, "password": password });
    server
        .post("/api/v1/login")
        .json(&body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn without_a_session_or_a_token_nothing_is_shown_or_done() {
    let accounts = Accounts::new();
    let server = accounts.server();
    let session = server.json("/api/v1/session").await;
    assert_eq!(session["authentication"], "accounts");
    assert!(session.get("user").is_none());
    for path in [
        "/api/v1/reports",
        "/api/history",
        "/api/v1/queue",
        "/api/v1/captures",
    ] {
        let refused = server.get(path).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
    }
    assert_eq!(server.upload(&[("a.pcap", syns(5))]).await.status(), 401);
    let page = server.get("/").send().await.unwrap();
    assert_eq!(
        page.status(),
        200,
        "the page with its login form is for everybody"
    );
    assert_eq!(server.json("/api/health").await["status"], "ok");
}

#[tokio::test]
async fn roles_decide_and_reports_of_others_are_not_there() {
    let accounts = Accounts::new();
    let server = accounts.server();
    let (vera, anna) = (
        User::log_in(&server, "vera").await,
        User::log_in(&server, "anna").await,
    );
    let (otto, adam) = (
        User::log_in(&server, "otto").await,
        User::log_in(&server, "adam").await,
    );
    assert_eq!(vera.upload(&server, Some(&vera.csrf)).await.status(), 403);
    let uploaded = anna.upload(&server, Some(&anna.csrf)).await;
    assert_eq!(uploaded.status(), 202);
    let accepted: Value = uploaded.json().await.unwrap();
    let id = accepted["task_id"].as_str().unwrap();
    for path in [
        "/api/v1/tasks/ID",
        "/api/v1/tasks/ID/events",
        "/api/status/ID",
    ] {
        let path = path.replace("ID", id);
        assert_eq!(anna.get(&server, &path).await.status(), 200, "{path}");
        assert_eq!(otto.get(&server, &path).await.status(), 404, "{path}");
        assert_eq!(adam.get(&server, &path).await.status(), 200, "{path}");
    }
    let reports = async |user: &User| {
        let list: Value = user
            .get(&server, "/api/v1/reports")
            .await
            .json()
            .await
            .unwrap();
        list["reports"].as_array().unwrap().len()
    };
    until("the report is ready", async || reports(&anna).await == 1).await;
    assert_eq!(
        (
            reports(&anna).await,
            reports(&otto).await,
            reports(&adam).await
        ),
        (1, 0, 1)
    );
    let delete = async |user: &User| {
        let request = server
            .delete(&format!("/api/v1/reports/{id}"))
            .header("cookie", &user.cookie)
            .header("x-csrf-token", &user.csrf);
        request.send().await.unwrap().status()
    };
    assert_eq!(delete(&otto).await, StatusCode::NOT_FOUND);
    assert_eq!(delete(&vera).await, StatusCode::FORBIDDEN);
    assert_eq!(delete(&adam).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_change_needs_the_token_of_the_session_and_ends_with_it() {
    let accounts = Accounts::new();
    let server = accounts.server();
    let anna = User::log_in(&server, "anna").await;
    assert_eq!(anna.upload(&server, None).await.status(), 403);
    assert_eq!(anna.upload(&server, Some("wrong")).await.status(), 403);
    let other = User::log_in(&server, "anna").await;
    assert_eq!(anna.upload(&server, Some(&other.csrf)).await.status(), 403);
    let foreign = server
        .post("/api/v1/logout")
        .header("cookie", &anna.cookie)
        .header("x-csrf-token", &anna.csrf)
        .header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let logout = server
        .post("/api/v1/logout")
        .header("cookie", &anna.cookie)
        .header("x-csrf-token", &anna.csrf);
    assert_eq!(logout.send().await.unwrap().status(), 204);
    assert_eq!(anna.get(&server, "/api/v1/reports").await.status(), 401);
    assert_eq!(other.get(&server, "/api/v1/reports").await.status(), 200);
}

#[tokio::test]
async fn wrong_passwords_lock_an_account_and_tell_nothing() {
    let accounts = Accounts::new();
    let server = accounts.server();
    let detail = async |user: &str| {
        let refused = log_in(&server, user, "wrong").await;
        assert_eq!(refused.status(), 401);
        let problem: Value = refused.json().await.unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail("anna").await, detail("nobody").await);
    for _ in 0..4 {
        detail("anna").await;
    }
    let locked = log_in(&server, "anna", "password of anna").await;
    assert_eq!(locked.status(), 429);
    assert!(locked.headers().contains_key("retry-after"));
    User::log_in(&server, "otto").await;
    let log = server.log();
    assert!(!log.contains("password of"), "no secrets in the log");
    assert!(log.contains("log in"), "the audit log has it: {log}");
}

#[tokio::test]
async fn a_program_uses_its_token_until_it_is_removed_from_the_file() {
    let accounts = Accounts::new();
    let server = accounts.server();
    let get = async || {
        let request = server.get("/api/v1/reports").bearer_auth(&accounts.token);
        request.send().await.unwrap().status()
    };
    assert_eq!(get().await, 200);
    let part = reqwest::multipart::Part::bytes(syns(5)).file_name("a.pcap");
    let form = reqwest::multipart::Form::new().part("file", part);
    let upload = server.post("/api/upload").bearer_auth(&accounts.token);
    assert_eq!(upload.multipart(form).send().await.unwrap().status(), 202);
    let wrong = server
        .get("/api/v1/reports")
        .bearer_auth("wrong")
        .send()
        .await;
    assert_eq!(wrong.unwrap().status(), 401);
    let text = std::fs::read_to_string(accounts.path()).unwrap();
    let kept = text.split("[[token]]").next().unwrap();
    replace(&accounts.path(), kept);
    assert_eq!(get().await, 401, "the file is followed");
    replace(&accounts.path(), "no = file");
    User::log_in(&server, "anna").await;
}

/// Replaces a file, with a time that differs.
fn replace(path: &Path, text: &str) {
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    std::fs::write(path, text).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let after = before + std::time::Duration::from_secs(1);
    file.set_modified(after).unwrap();
}

#[tokio::test]
async fn the_header_of_a_trusted_proxy_names_the_user() {
    let settings = [
        ("CAPTURE_WEB_PROXY_USER_HEADER", "X-Remote-User"),
        ("CAPTURE_WEB_PROXY_ROLE_HEADER", "X-Remote-Role"),
    ];
    let with = |address| [&settings[..], &[("CAPTURE_WEB_PROXY_ADDRESSES", address)]].concat();
    let get = async |server: &Server, role: &str| {
        let request = server
            .get("/api/v1/reports")
            .header("x-remote-user", "anna")
            .header("x-remote-role", role);
        request.send().await.unwrap().status()
    };
    let trusted = Server::start(&with("127.0.0.1"));
    assert_eq!(get(&trusted, "analyst").await, 200);
    assert_eq!(get(&trusted, "king").await, 401);
    assert_eq!(
        trusted
            .get("/api/v1/reports")
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let other = Server::start(&with("192.0.2.1"));
    assert_eq!(get(&other, "admin").await, 401, "anybody can send a header");
}

#[tokio::test]
async fn over_tls_a_renewed_certificate_is_used_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
    );
    let first = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, first.cert.pem()).unwrap();
    std::fs::write(&key, first.signing_key.serialize_pem()).unwrap();
    let server = Server::start(&[
        ("CAPTURE_WEB_TLS_CERTIFICATE", certificate.to_str().unwrap()),
        ("CAPTURE_WEB_TLS_KEY", key.to_str().unwrap()),
    ]);
    let url = server.url.replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let get = async |pem: String| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        let client = client.build().unwrap();
        client.get(format!("{url}/api/health")).send().await
    };
    assert_eq!(get(first.cert.pem()).await.unwrap().status(), 200);
    let second = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    replace(&key, &second.signing_key.serialize_pem());
    replace(&certificate, &second.cert.pem());
    assert_eq!(get(second.cert.pem()).await.unwrap().status(), 200);
    assert!(get(first.cert.pem()).await.is_err());
}
