//! From an upload to its report.

use serde_json::Value;

use crate::{
    capture::{self, secrets, syns},
    server::Server,
};

#[tokio::test]
async fn an_uploaded_file_becomes_a_report_with_its_packets() {
    let server = Server::start(&[]);
    let id = server.task("syns.pcap", syns(500)).await;
    let task = server.ended(&id).await;
    assert_eq!(task["state"], "done", "{task}");
    assert_eq!(task["packets"], 500);
    let report = server.json(&format!("/api/v1/reports/{id}/report")).await;
    assert_eq!(report["schema"], "capture.report/v1");
    assert_eq!(report["inventory"]["packets"], 500);
    let page = server
        .get(&format!("/api/v1/reports/{id}/html"))
        .send()
        .await;
    let page = page.unwrap().text().await.unwrap();
    assert!(page.contains("syns.pcap"), "{page}");
    let list = server.json("/api/v1/reports?search=SYNS").await;
    assert_eq!(list["reports"][0]["id"], id.as_str());
    assert_eq!(list["reports"][0]["packets"], 500);
    let finding = report["findings"][0]["id"].as_str().unwrap();
    let packets = server
        .get(&format!("/api/v1/reports/{id}/packets?finding={finding}"))
        .send()
        .await
        .unwrap();
    assert_eq!(packets.status(), 200);
    let packets = packets.bytes().await.unwrap();
    assert_eq!(
        report["findings"][0]["evidence"]["count"],
        capture::packets(&packets)
    );
}

#[tokio::test]
async fn the_paths_that_other_clients_know_are_the_same_handlers() {
    let server = Server::start(&[]);
    let form = reqwest::multipart::Form::new().part(
        "file",
        reqwest::multipart::Part::bytes(syns(10)).file_name("a.pcap"),
    );
    let upload = server.post("/api/upload").multipart(form).send().await;
    let accepted: Value = upload.unwrap().json().await.unwrap();
    let id = accepted["task_id"].as_str().unwrap();
    let events = server.get(&format!("/api/progress/{id}")).send().await;
    let events = events.unwrap().text().await.unwrap();
    let last = events.trim_end().lines().last().unwrap();
    let last: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["state"], "done", "{events}");
    assert_eq!(last["percent"], 100.0);
    let status = server.json(&format!("/api/status/{id}")).await;
    assert_eq!(status["report"], id);
    let history = server.json("/api/history").await;
    assert_eq!(history["reports"].as_array().unwrap().len(), 1);
    assert_eq!(server.json("/api/queue/status").await["accepting"], true);
    assert_eq!(server.json("/api/health").await["status"], "ok");
    let json = server.json(&format!("/api/reports/{id}/json")).await;
    assert_eq!(json["inventory"]["packets"], 10);
    let html = server.get(&format!("/api/reports/{id}/html")).send().await;
    assert_eq!(html.unwrap().status(), 200);
    let deleted = server.delete(&format!("/api/reports/{id}")).send().await;
    assert_eq!(deleted.unwrap().status(), 204);
    let gone = server
        .get(&format!("/api/status/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
    assert_eq!(gone.headers()["content-type"], "application/problem+json");
    assert_eq!(server.stored(), [""; 0], "its files are removed");
}

#[tokio::test]
async fn rotated_files_are_one_capture_in_the_order_of_time() {
    let server = Server::start(&[]);
    let all = syns(400);
    let (head, record) = (24, 16 + 54);
    let first = all[..head + 200 * record].to_vec();
    let second = [&all[..head], &all[head + 200 * record..]].concat();
    let response = server
        .upload(&[("b.pcap", second), ("a.pcap", first)])
        .await;
    let accepted: Value = response.json().await.unwrap();
    assert_eq!(accepted["task"]["name"], "b.pcap and 1 more");
    let id = accepted["task_id"].as_str().unwrap();
    assert_eq!(server.ended(id).await["packets"], 400);
    let report = server.json(&format!("/api/v1/reports/{id}/report")).await;
    assert_eq!(report["files"][0]["name"], "a.pcap");
    assert_eq!(report["inventory"]["out_of_time"], 0);
}

#[tokio::test]
async fn two_reports_are_compared_and_a_shared_one_needs_no_more_than_its_link() {
    let server = Server::start(&[]);
    let (a, b) = (
        server.task("a.pcap", syns(10)).await,
        server.task("b.pcap", syns(30)).await,
    );
    server.ended(&a).await;
    server.ended(&b).await;
    let comparison = server
        .json(&format!("/api/v1/reports/compare?a={a}&b={b}"))
        .await;
    let packets = &comparison["measures"][0];
    assert_eq!((&packets["a"], &packets["b"]), (&10.0.into(), &30.0.into()));
    let share = server
        .post(&format!("/api/v1/reports/{a}/share"))
        .send()
        .await;
    let share: Value = share.unwrap().json().await.unwrap();
    let shared = format!("/api/v1/shared/{}", share["token"].as_str().unwrap());
    let summary = server.json(&shared).await;
    assert_eq!(summary["name"], "a.pcap");
    assert_eq!(summary["owner"], "", "no names of accounts");
    let report = server.json(&format!("{shared}/report")).await;
    assert_eq!(report["inventory"]["packets"], 10);
    server
        .delete(&format!("/api/v1/reports/{a}"))
        .send()
        .await
        .unwrap();
    let ended = server.get(&shared).send().await.unwrap();
    assert_eq!(ended.status(), 404, "the link ends with the report");
}

#[tokio::test]
async fn every_described_operation_has_a_handler() {
    let server = Server::start(&[]);
    for operation in capture_web::api::openapi::OPERATIONS {
        let path = operation
            .path
            .replace("{id}", &"0".repeat(32))
            .replace("{token}", "none")
            .replace("{name}", "none")
            .replace("{file}", "none");
        let method = operation.method.to_uppercase().parse().unwrap();
        let url = format!("{}{path}", server.url);
        let response = server.client.request(method, url).send().await.unwrap();
        let problem = response.status().is_client_error() || response.status().is_server_error();
        let kind = response.headers().get("content-type");
        let is_described = kind.is_some_and(|kind| kind == "application/problem+json");
        assert!(
            !problem || is_described,
            "{} {}: {}",
            operation.method,
            operation.path,
            response.status()
        );
    }
}

#[tokio::test]
async fn a_redacted_report_has_pseudonyms_everywhere_and_no_packets() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "a key of many letters\n").unwrap();
    let server = Server::start(&[(
        "CAPTURE_WEB_REDACTION_KEY_FILE",
        key.path().to_str().unwrap(),
    )]);
    assert_eq!(server.json("/api/v1/session").await["redacted"], true);
    let id = server.task("mine.pcap", secrets()).await;
    assert_eq!(server.ended(&id).await["state"], "done");
    let mut texts = Vec::new();
    for path in ["report", "html"] {
        let path = format!("/api/v1/reports/{id}/{path}");
        let text = server
            .get(&path)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        for part in ["10.0.0.", "secret", "login", "bob"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("mine.pcap"), "{text}");
        texts.push(text);
    }
    let report: Value = serde_json::from_str(&texts[0]).unwrap();
    for rows in ["dns", "http"] {
        let rows = &report[rows]["rows"];
        assert!(!rows.as_array().unwrap().is_empty(), "{report}");
    }
    assert!(!report["findings"].as_array().unwrap().is_empty());
    let finding = report["findings"][0]["id"].as_str().unwrap();
    let packets = format!("/api/v1/reports/{id}/packets?finding={finding}");
    assert_eq!(server.get(&packets).send().await.unwrap().status(), 403);
}
