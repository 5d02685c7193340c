//! TLS and logins: each way works, and no secret is anywhere but in the request.

use std::fs;

use super::{
    cluster::{Cluster, http, runtime},
    nginx::Nginx,
    traffic,
};
use crate::support::{Data, Exporter, tree};

const PASSWORD: &str = "pass-s3cret-word";
const API_KEY: &str = "a2V5LXMzY3JldA==";
const TOKEN: &str = "token-s3cret";

/// The headers that these make.
fn headers() -> [String; 3] {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pair = STANDARD.encode(format!("exporter:{PASSWORD}"));
    [
        format!("Basic {pair}"),
        format!("ApiKey {API_KEY}"),
        format!("Bearer {TOKEN}"),
    ]
}

struct Scene {
    cluster: Cluster,
    nginx: Nginx,
    data: Data,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let cluster = Cluster::start(test)?;
        let headers = headers();
        let known: Vec<&str> = headers.iter().map(String::as_str).collect();
        let nginx = Nginx::start(test, cluster.url(), &known)?;
        let mut data = Data::new();
        data.add_with("web", 20, |path, _| traffic::mixed(1).write(path));
        for (name, secret) in [("password", PASSWORD), ("key", API_KEY), ("token", TOKEN)] {
            fs::write(nginx.file(name), format!("{secret}\n")).unwrap();
        }
        Some(Self {
            cluster,
            nginx,
            data,
        })
    }

    fn exporter(&self, url: &str, login: &str) -> Exporter {
        let more = format!(
            "cacert = '{}'\n{login}",
            self.nginx.file("ca.pem").display()
        );
        super::exporter(self.data.path(), url, &self.cluster.index, &more)
    }

    fn file(&self, setting: &str, name: &str) -> String {
        format!("{setting} = '{}'\n", self.nginx.file(name).display())
    }
}

#[test]
fn a_password_a_key_a_token_and_a_client_certificate_each_open_the_cluster() {
    let Some(scene) =
        Scene::new("a_password_a_key_a_token_and_a_client_certificate_each_open_the_cluster")
    else {
        return;
    };
    let basic = format!(
        "user = 'exporter'\n{}",
        scene.file("password_file", "password")
    );
    let mutual = scene.file("cert", "client.pem") + &scene.file("key", "client.key");
    let path = scene
        .data
        .of("web")
        .join(&scene.data.entries("web")[0].file);
    let deliver = ["deliver", "sink", "search", path.to_str().unwrap()];
    for (url, login) in [
        (&scene.nginx.login, basic),
        (&scene.nginx.login, scene.file("api_key_file", "key")),
        (&scene.nginx.login, scene.file("token_file", "token")),
        (&scene.nginx.mutual, mutual),
    ] {
        let exporter = scene.exporter(url, &login);
        exporter.prints(&["search", "setup", "--sink", "search"]);
        let said = exporter.prints(&deliver);
        assert!(said.contains(" 0 rejected"), "{login}: {said}");
    }
    assert_eq!(scene.cluster.count("flow"), 3);
    let environment = [("ELASTIC_USER", "exporter"), ("ELASTIC_PASSWORD", PASSWORD)];
    let exporter = scene
        .exporter(&scene.nginx.login, "")
        .with_environment(environment);
    assert!(exporter.prints(&deliver).contains(" 0 accepted"));

    for (url, login, why) in [
        (&scene.nginx.login, String::new(), "401"),
        (&scene.nginx.mutual, String::new(), "400"),
    ] {
        let output = scene
            .exporter(url, &login)
            .output(&["search", "setup", "--sink", "search"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
    // An authority that did not sign the certificate of the server.
    let unknown = super::exporter(
        scene.data.path(),
        &scene.nginx.login,
        &scene.cluster.index,
        "",
    );
    let output = unknown.output(&["search", "setup", "--sink", "search"]);
    let error = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(
        !output.status.success() && error.contains("certificate"),
        "{error}"
    );
}

#[test]
fn secrets_are_in_no_log_error_metric_argument_or_document() {
    let Some(scene) = Scene::new("secrets_are_in_no_log_error_metric_argument_or_document") else {
        return;
    };
    let basic = format!(
        "user = 'exporter'\n{}",
        scene.file("password_file", "password")
    );
    let exporter = scene
        .exporter(&scene.nginx.login, &basic)
        .with_environment([
            ("CAPTURE_EXPORT_LOG_LEVEL", "trace"),
            ("CAPTURE_EXPORT_METRICS", "127.0.0.1:0"),
        ]);
    let mut found = vec![exporter.prints(&["search", "setup", "--sink", "search"])];
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("search") == 1);
    let log = running.log();
    let metrics = log
        .split("metrics at ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let metrics =
        runtime().block_on(async { reqwest::get(metrics).await.unwrap().text().await.unwrap() });
    for line in [
        "pcap_packets_total{protocol=\"tcp\"} 16",
        "pcap_elastic_write_total{status=\"success\"} 1",
        "capture_export_documents_waiting 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let process = format!("/proc/{}", running.id());
    for name in ["cmdline", "environ"] {
        let bytes = fs::read(format!("{process}/{name}")).unwrap();
        found.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    found.extend([log, metrics]);
    found.push(exporter.prints(&["status"]));
    found.push(exporter.prints(&["config", "print"]));
    // What goes wrong with a login that is no longer valid is told without it.
    fs::write(scene.nginx.file("password"), format!("{PASSWORD}-old\n")).unwrap();
    let output = exporter.output(&["search", "setup", "--sink", "search"]);
    assert!(!output.status.success());
    found.push(String::from_utf8_lossy(&output.stderr).into_owned());
    let (_, documents) = http(
        "GET",
        &format!(
            "{}/{}/_search?size=100",
            scene.cluster.url(),
            scene.cluster.index
        ),
        None,
    );
    found.push(documents.to_string());
    found.push(running.kill());
    let state = tree(&exporter.state_dir());
    found.extend(
        state
            .values()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
    );
    let [basic, ..] = headers();
    for secret in [PASSWORD, &basic["Basic ".len()..]] {
        for text in &found {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
