//! The same promises over SQLite with a directory, and over PostgreSQL with object storage.

use std::time::Duration;

use serde_json::Value;

use crate::{capture::syns, place::Place, server::until};

/// Quick settings: what is lost is noticed soon.
const QUICK: &[(&str, &str)] = &[
    ("CAPTURE_WEB_LEASE", "2s"),
    ("CAPTURE_WEB_UPLOADS_PER_MINUTE", "100000"),
    ("MAX_QUEUE_SIZE", "1000"),
];

#[tokio::test]
async fn a_task_of_one_server_is_seen_and_removed_by_another_over_sqlite() {
    a_task_of_one_server_is_seen_and_removed_by_another(&Place::local()).await;
}

#[tokio::test]
async fn a_task_of_one_server_is_seen_and_removed_by_another_over_postgresql_and_s3() {
    if let Some(place) = Place::shared().await {
        a_task_of_one_server_is_seen_and_removed_by_another(&place).await;
    }
}

async fn a_task_of_one_server_is_seen_and_removed_by_another(place: &Place) {
    let (one, other) = (place.server(QUICK), place.server(QUICK));
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(one.task(&format!("{number}.pcap"), syns(50)).await);
    }
    for id in &ids {
        let task = other.ended(id).await;
        assert_eq!(task["state"], "done", "{task}");
        let report = other.json(&format!("/api/v1/reports/{id}/report")).await;
        assert_eq!(report["inventory"]["packets"], 50);
        let finding = report["findings"][0]["id"].as_str().unwrap();
        let packets = format!("/api/v1/reports/{id}/packets?finding={finding}");
        let packets = other.get(&packets).send().await.unwrap();
        assert_eq!(packets.status(), 200);
    }
    // By pages, each report once.
    let mut seen = Vec::new();
    let mut path = "/api/v1/reports?limit=4".to_owned();
    loop {
        let page = other.json(&path).await;
        let reports = page["reports"].as_array().unwrap();
        seen.extend(
            reports
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/reports?limit=4&cursor={next}"),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!(seen, ids, "the newest first");
    for id in &ids {
        let deleted = other.delete(&format!("/api/v1/reports/{id}")).send().await;
        assert_eq!(deleted.unwrap().status(), 204);
        let gone = one
            .get(&format!("/api/v1/tasks/{id}"))
            .send()
            .await
            .unwrap();
        assert_eq!(gone.status(), 404);
    }
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[tokio::test]
async fn reports_past_their_number_of_bytes_are_removed_the_oldest_first() {
    let place = Place::local();
    // Each file has about 3.5 KB.
    let mut settings = QUICK.to_vec();
    settings.push(("CAPTURE_WEB_MAX_REPORTS_SIZE", "8000B"));
    let server = place.server(&settings);
    let mut ids = Vec::new();
    for number in 0..4 {
        let id = server.task(&format!("{number}.pcap"), syns(50)).await;
        server.ended(&id).await;
        ids.push(id);
    }
    until("two are left", async || {
        let list = server.json("/api/v1/reports").await;
        list["reports"].as_array().unwrap().len() == 2
    })
    .await;
    let list = server.json("/api/v1/reports").await;
    assert_eq!(list["reports"][0]["id"], *ids[3]);
    assert_eq!(list["reports"][1]["id"], *ids[2]);
    until("their files are gone", async || {
        let files = place.files();
        !files
            .iter()
            .any(|file| file.starts_with(&ids[0]) || file.starts_with(&ids[1]))
    })
    .await;
}

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    let Some(mut place) = Place::shared().await else {
        return;
    };
    let server = place.server(QUICK);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(server.task(&format!("{number}.pcap"), syns(2000)).await);
    }
    place.postgres.as_mut().unwrap().stop();
    let refused = server.upload(&[("a.pcap", syns(5))]).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["detail"], "the database does not answer");
    let health = server.get("/api/health").send().await.unwrap();
    assert_eq!(health.status(), 503);
    place.postgres.as_mut().unwrap().resume().await;
    until("it is healthy again", async || {
        server.get("/api/health").send().await.unwrap().status() == 200
    })
    .await;
    for id in ids {
        assert_eq!(server.ended(&id).await["state"], "done");
    }
}

#[tokio::test]
async fn an_object_storage_that_refuses_and_comes_back_loses_nothing() {
    let Some(place) = Place::shared().await else {
        return;
    };
    let server = place.server(QUICK);
    let faults = place.bucket.as_ref().unwrap().faults();
    faults.refuse_each(3);
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(server.task(&format!("{number}.pcap"), syns(200)).await);
    }
    for id in &ids {
        assert_eq!(server.ended(id).await["state"], "done");
    }
    faults.none();
    for id in &ids {
        let report = server.json(&format!("/api/v1/reports/{id}/report")).await;
        assert_eq!(report["inventory"]["packets"], 200, "the report is whole");
    }
    tokio::time::timeout(Duration::from_secs(60), async {
        assert_eq!(server.json("/api/health").await["status"], "ok");
    })
    .await
    .unwrap();
}
