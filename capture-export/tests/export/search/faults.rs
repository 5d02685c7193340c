//! What a cluster or the way to it does wrong costs no document.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use serde_json::Value;

use super::{
    cluster::{Cluster, http},
    exporter,
    proxy::{Fault, Plan, Proxy},
    traffic,
};
use crate::support::{Data, Exporter, Running, tree};

const FLOWS: u32 = 300;

/// A cluster behind a proxy with faults, and an exporter that sends it 300 flows in batches of 20.
fn behind(test: &str, more: &str, plan: Plan) -> Option<(Cluster, Proxy, Data, Exporter)> {
    behind_with(test, FLOWS, more, plan)
}

/// As [`behind`], with so many flows.
fn behind_with(
    test: &str,
    flows: u32,
    more: &str,
    plan: Plan,
) -> Option<(Cluster, Proxy, Data, Exporter)> {
    let cluster = Cluster::start(test)?;
    let mut data = Data::new();
    data.add_with("web", flows.into(), |path, _| {
        traffic::many_flows(1, flows).write(path)
    });
    let proxy = Proxy::start(cluster.url(), plan);
    let more = if more.is_empty() {
        "batch_documents = 20"
    } else {
        more
    };
    let more = format!("documents = 'flow'\n{more}");
    let exporter = exporter(data.path(), &proxy.url(), &cluster.index, &more);
    exporter.prints(&["search", "setup", "--sink", "search"]);
    Some((cluster, proxy, data, exporter))
}

fn delivered(exporter: &Exporter) -> (Running, String) {
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("search") == 1);
    let log = outcomes(&mut running);
    (running, log)
}

/// The log, with the line about the documents, which may come after the checkpoint.
fn outcomes(running: &mut Running) -> String {
    let log = running.log_handle();
    running.until("the outcomes", || log().contains("documents delivered"));
    log()
}

fn has_outcomes(log: &str, accepted: u32, duplicate: u32, rejected: u32) {
    let sum = accepted + duplicate + rejected;
    let line = format!(
        "documents={sum} accepted={accepted} duplicate={duplicate} rejected={rejected} waiting=0"
    );
    assert!(log.contains(&line), "{log}");
}

#[test]
fn a_busy_cluster_gets_every_document_later() {
    // Whole requests, and documents of requests, by turns: not for ever, because a request whose turn is always that of a
    // fault would be given up, and the file delivered from its start.
    let plan: Plan = Box::new(|number, _| match number % 8 {
        _ if number > 32 => Fault::None,
        0 => Fault::Status(429),
        1 => Fault::Status(503),
        3 => Fault::Items {
            every: 3,
            status: 429,
        },
        4 => Fault::Status(502),
        5 => Fault::Items {
            every: 1,
            status: 503,
        },
        6 => Fault::NoAnswer,
        _ => Fault::None,
    });
    let test = "a_busy_cluster_gets_every_document_later";
    let Some((cluster, proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS, 0, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
    assert!(proxy.bulks() > 15);
}

#[test]
fn an_answer_that_is_cut_makes_duplicates_and_no_second_document() {
    let plan: Plan = Box::new(|number, _| match number {
        2 => Fault::CutAnswer,
        _ => Fault::None,
    });
    let test = "an_answer_that_is_cut_makes_duplicates_and_no_second_document";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS - 20, 20, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
}

#[test]
fn what_is_too_large_for_the_server_is_halved_until_it_fits() {
    // A flow has about 1,200 bytes.
    let plan: Plan = Box::new(|_, bytes| match bytes {
        ..=6_000 => Fault::None,
        _ => Fault::Status(413),
    });
    let test = "what_is_too_large_for_the_server_is_halved_until_it_fits";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS, 0, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
}

#[test]
fn a_document_that_is_too_large_by_itself_is_put_aside() {
    let plan: Plan = Box::new(|_, _| Fault::Status(413));
    let test = "a_document_that_is_too_large_by_itself_is_put_aside";
    let Some((_cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, 0, 0, FLOWS);
}

#[test]
fn what_the_cluster_never_takes_goes_to_the_dead_letters_with_the_reason() {
    let plan: Plan = Box::new(|number, _| match number {
        1 => Fault::Items {
            every: 10,
            status: 400,
        },
        _ => Fault::None,
    });
    let test = "what_the_cluster_never_takes_goes_to_the_dead_letters_with_the_reason";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS - 2, 0, 2);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS) - 2);
    let directory = exporter.state_dir().join("sinks/search/dead-letters");
    let files: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    let path = files[0].path();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(log.contains(path.to_str().unwrap()), "{log}");
    let text = fs::read_to_string(&path).unwrap();
    let letters: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(letters.len(), 2);
    assert_eq!(
        letters[0]["reason"],
        "400: injected: a \"fault\"  of this document"
    );
    assert_eq!(letters[0]["document"]["event"]["dataset"], "capture.flow");
}

#[test]
fn a_document_with_which_a_whole_request_is_refused_is_found_and_put_aside() {
    let plan: Plan = Box::new(|_, _| Fault::Having {
        text: "\"10.0.0.77\"",
        status: 400,
    });
    let test = "a_document_with_which_a_whole_request_is_refused_is_found_and_put_aside";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS - 1, 0, 1);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS) - 1);
    let directory = exporter.state_dir().join("sinks/search/dead-letters");
    let path = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(path.path()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let letter: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(letter["document"]["source"]["ip"], "10.0.0.77");
    let reason = letter["reason"].as_str().unwrap();
    assert!(
        reason.contains("400") && reason.contains("an injected fault"),
        "{reason}"
    );
}

/// Refuses each request with a document of ours, and answers others.
fn refuses_documents() -> Fault {
    Fault::Having {
        text: "capture.flow",
        status: 400,
    }
}

#[test]
fn a_refused_document_that_is_alone_does_not_wait_for_another_file() {
    let test = "a_refused_document_that_is_alone_does_not_wait_for_another_file";
    let plan: Plan = Box::new(|_, _| refuses_documents());
    let Some((cluster, proxy, _data, exporter)) = behind_with(test, 1, "", plan) else {
        return;
    };
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, 0, 0, 1);
    assert_eq!(
        proxy.bulks(),
        2,
        "the document, and whether others are answered"
    );
    let all = format!("{}/_count", cluster.index);
    let (_, count) = http("GET", &format!("{}/{all}", cluster.url()), None);
    assert_eq!(count["count"], 0, "asking makes no document");
    let letters = tree(&exporter.state_dir().join("sinks/search/dead-letters"));
    let letter = String::from_utf8_lossy(letters.values().next().unwrap());
    assert!(letter.contains("an injected fault"), "{letter}");
}

#[test]
fn a_file_of_which_every_document_is_refused_alone_is_put_aside_as_a_whole() {
    let refused = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&refused);
    let plan: Plan = Box::new(move |_, _| match now.load(Relaxed) {
        true => refuses_documents(),
        false => Fault::None,
    });
    let test = "a_file_of_which_every_document_is_refused_alone_is_put_aside_as_a_whole";
    let more = "batch_documents = 2000\n";
    let Some((cluster, _proxy, _data, exporter)) = behind_with(test, 1100, more, plan) else {
        return;
    };
    let mut running = exporter.run();
    running.until("the file to be put aside", || {
        let checkpoint = exporter.checkpoint("search");
        let series = checkpoint.and_then(|all| all.series.get("web/web").cloned());
        series.is_some_and(|series| series.aside.len() == 1)
    });
    let status = exporter.prints(&["status"]);
    assert!(
        status.contains("each of 1000 documents") && status.contains("400"),
        "{status}"
    );
    refused.store(false, Relaxed);
    exporter.prints(&["retry", "search"]);
    running.until("the file", || exporter.delivered("search") == 1);
    has_outcomes(&outcomes(&mut running), 1100, 0, 0);
    assert_eq!(cluster.count("flow"), 1100);
}

#[test]
fn a_cluster_that_refuses_every_request_puts_no_document_aside() {
    let refused = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&refused);
    let plan: Plan = Box::new(move |_, _| match now.load(Relaxed) {
        true => Fault::Status(400),
        false => Fault::None,
    });
    let test = "a_cluster_that_refuses_every_request_puts_no_document_aside";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let mut running = exporter.run();
    running.until("the reason", || {
        exporter.prints(&["status"]).contains("400")
    });
    assert_eq!(exporter.delivered("search"), 0);
    refused.store(false, Relaxed);
    running.until("the file", || exporter.delivered("search") == 1);
    has_outcomes(&outcomes(&mut running), FLOWS, 0, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
}

#[test]
fn a_user_who_may_not_write_loses_no_document() {
    let refused = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&refused);
    let plan: Plan = Box::new(move |_, _| match now.load(Relaxed) {
        true => Fault::Status(403),
        false => Fault::None,
    });
    let test = "a_user_who_may_not_write_loses_no_document";
    let Some((cluster, _proxy, _data, exporter)) = behind(test, "", plan) else {
        return;
    };
    let mut running = exporter.run();
    running.until("the reason", || {
        exporter.prints(&["status"]).contains("403")
    });
    assert_eq!(
        (exporter.delivered("search"), cluster.count("flow")),
        (0, 0)
    );
    refused.store(false, Relaxed);
    running.until("the file", || exporter.delivered("search") == 1);
    has_outcomes(&outcomes(&mut running), FLOWS, 0, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
}

#[test]
fn of_several_urls_one_that_is_down_delays_nothing_for_good() {
    let plan: Plan = Box::new(|_, _| Fault::None);
    let test = "of_several_urls_one_that_is_down_delays_nothing_for_good";
    let Some((cluster, proxy, data, _)) = behind(test, "", plan) else {
        return;
    };
    // Bound, and never accepted from; then closed.
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = down.local_addr().unwrap();
    drop(down);
    let urls = format!("http://{address}', '{}", proxy.url());
    let exporter = exporter(
        data.path(),
        &urls,
        &cluster.index,
        "batch_documents = 20\ndocuments = 'flow'",
    );
    let (_running, log) = delivered(&exporter);
    has_outcomes(&log, FLOWS, 0, 0);
    assert_eq!(cluster.count("flow"), u64::from(FLOWS));
}
