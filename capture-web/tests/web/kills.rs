//! Servers, workers and connections to the database are killed at random moments: no task is lost, none is done
//! twice, and no file stays that belongs to nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    capture::syns,
    place::Place,
    server::{PATIENCE, Server, until},
};

/// Kills per engine; the variable CAPTURE_WEB_KILLS sets another number.
const KILLS: u32 = 10;

const SETTINGS: &[(&str, &str)] = &[
    ("CAPTURE_WEB_LEASE", "1s"),
    ("CAPTURE_WEB_CLIENT_TIMEOUT", "1s"),
    ("CAPTURE_WEB_UPLOADS_PER_MINUTE", "1000000"),
    ("CAPTURE_WEB_MAX_ATTEMPTS", "1000"),
    ("CAPTURE_WEB_WORKERS", "2"),
    ("MAX_QUEUE_SIZE", "100000"),
];

#[tokio::test]
async fn kills_over_sqlite_lose_no_task_and_leave_no_file() {
    kills(&Place::local()).await;
}

#[tokio::test]
async fn kills_over_postgresql_and_s3_lose_no_task_and_leave_no_file() {
    if let Some(place) = Place::shared().await {
        kills(&place).await;
    }
}

/// Random numbers that can be repeated (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn kills(place: &Place) {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let seed = u64::try_from(seed & u128::from(u64::MAX)).unwrap() | 1;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let kills = std::env::var("CAPTURE_WEB_KILLS");
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let mut servers = [place.server(SETTINGS), place.server(SETTINGS)];
    // Packets of each accepted task.
    let mut accepted: BTreeMap<String, u32> = BTreeMap::new();
    let mut logs = String::new();
    for kill in 0..kills {
        for number in 0..3 {
            let packets = 20 + u32::try_from(random.below(3000)).unwrap();
            let server = &servers[usize::try_from(random.below(2)).unwrap()];
            if let Some(id) = upload(server, &format!("{kill}-{number}.pcap"), packets).await {
                accepted.insert(id, packets);
            }
        }
        // An upload that is cut by the kill may be accepted or not; it must not stay in between.
        let at = usize::try_from(random.below(2)).unwrap();
        let moment = Duration::from_millis(random.below(400));
        let in_progress = upload(&servers[at], "cut.pcap", 30_000);
        let in_progress = tokio::time::timeout(moment, in_progress).await;
        if let Ok(Some(id)) = in_progress {
            accepted.insert(id, 30_000);
        }
        match random.below(3) {
            0 => {
                servers[at].kill();
                logs += &servers[at].log();
                servers[at] = place.server(SETTINGS);
            }
            1 => kill_worker(&servers[at]),
            _ => match &place.postgres {
                Some(postgres) => {
                    postgres.query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND usename = 'web'",
                    );
                }
                None => kill_worker(&servers[1 - at]),
            },
        }
    }
    for (id, packets) in &accepted {
        let task = servers[0].ended(id).await;
        assert_eq!(task["state"], "done", "{task}");
        assert_eq!(task["packets"], *packets, "{task}");
        let report = servers[1]
            .json(&format!("/api/v1/reports/{id}/report"))
            .await;
        assert_eq!(
            report["inventory"]["packets"], *packets,
            "the report is whole"
        );
    }
    for server in &servers {
        logs += &server.log();
    }
    for id in accepted.keys() {
        let ready = logs
            .matches(&format!("report is ready task=\"{id}\""))
            .count();
        assert!(ready <= 1, "{id} was done {ready} times");
    }
    assert!(
        accepted.len() >= kills as usize,
        "few uploads were accepted"
    );
    until(
        "nothing waits, and each file belongs to a report",
        async || {
            let queue = servers[0].json("/api/v1/queue").await;
            queue["waiting"] == 0 && queue["running"] == 0 && are_owned(place, &servers[0]).await
        },
    )
    .await;
}

/// Uploads a file; the id of its task if it was accepted.
async fn upload(server: &Server, name: &str, packets: u32) -> Option<String> {
    let part = reqwest::multipart::Part::bytes(syns(packets)).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().part("file", part);
    let sent = server
        .post("/api/v1/uploads")
        .timeout(PATIENCE)
        .multipart(form)
        .send();
    let response = sent.await.ok()?;
    if response.status() != 202 {
        return None;
    }
    let accepted: Value = response.json().await.ok()?;
    Some(accepted["task_id"].as_str().unwrap().to_owned())
}

/// Kills a worker of a server, if it has one at the moment.
fn kill_worker(server: &Server) {
    let worker = server.workers().first().copied();
    let pid = worker.and_then(|worker| Pid::from_raw(i32::try_from(worker).ok()?));
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether the files are those of the reports in the list: an upload, and the output of one attempt.
async fn are_owned(place: &Place, server: &Server) -> bool {
    let mut expected = std::collections::BTreeMap::new();
    let mut path = "/api/v1/reports?limit=200".to_owned();
    loop {
        let page = server.json(&path).await;
        for report in page["reports"].as_array().unwrap() {
            expected.insert(report["id"].as_str().unwrap().to_owned(), Vec::new());
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/reports?limit=200&cursor={next}"),
            None => break,
        }
    }
    for file in place.files() {
        let (id, rest) = file.split_once('/').unwrap();
        match expected.get_mut(id) {
            Some(files) => files.push(rest.to_owned()),
            None => return false,
        }
    }
    expected.values().all(|files| {
        let outputs: Vec<_> = files.iter().filter(|file| *file != "input/0").collect();
        files.len() == 3
            && outputs.iter().any(|file| file.ends_with("report.json"))
            && outputs.iter().any(|file| file.ends_with("report.html"))
    })
}
