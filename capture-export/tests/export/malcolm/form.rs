//! Malcolm's upload form.

use std::fs;

use super::{
    assert_mixed, mixed,
    stand_in::{PASSWORD, StandIn, USER},
};
use crate::support::{Data, Exporter, tree};

fn exporter(data: &Data, malcolm: &StandIn) -> Exporter {
    let sink = format!(
        "[sink.malcolm]\ntype = 'malcolm'\nurl = 'http://{}'\nallow_http = true\nuser = '{USER}'\ntags = ['lab']\n",
        malcolm.address
    );
    Exporter::new(data.path(), &sink).with_environment([("MALCOLM_PASSWORD", PASSWORD)])
}

#[test]
fn malcolm_gets_unpacked_pcap_one_file_per_link_type_once_it_is_ready() {
    let mut data = Data::new();
    mixed(&mut data);
    let malcolm = StandIn::start();
    let exporter = exporter(&data, &malcolm);
    let mut running = exporter.run();
    running.until("not ready", || {
        let checkpoint = exporter.checkpoint("malcolm");
        let trouble = checkpoint.and_then(|checkpoint| checkpoint.trouble);
        trouble.is_some_and(|trouble| trouble.reason.contains("not ready: logstash_pipelines"))
    });
    assert_eq!(
        malcolm.inside.lock().unwrap().uploads,
        0,
        "readiness is asked first"
    );
    malcolm.inside.lock().unwrap().ready = true;
    running.until("three files", || exporter.delivered("malcolm") == 3);
    {
        let inside = malcolm.inside.lock().unwrap();
        assert_mixed(&inside.kept);
        assert!(inside.deleted.is_empty(), "{:?}", inside.deleted);
    }
    assert!(
        tree(&exporter.state_dir().join("sinks/malcolm")).is_empty(),
        "converted files are removed"
    );
    let log = running.kill();
    assert!(!log.contains(PASSWORD));
}

#[test]
fn delivered_and_indexed_are_two_states() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let malcolm = StandIn::start();
    malcolm.inside.lock().unwrap().ready = true;
    let exporter = exporter(&data, &malcolm);
    let mut running = exporter.run();
    running.until("delivered", || exporter.delivered("malcolm") == 1);
    let checkpoint = exporter.checkpoint("malcolm").unwrap();
    assert_eq!((checkpoint.indexed, checkpoint.unindexed.len()), (0, 1));
    assert!(
        exporter
            .prints(&["status"])
            .contains("indexed 0, not yet 1")
    );
    malcolm.inside.lock().unwrap().indexes = true;
    running.until("indexed", || {
        let checkpoint = exporter.checkpoint("malcolm").unwrap();
        checkpoint.indexed == 1 && checkpoint.unindexed.is_empty()
    });
}

#[test]
fn an_upload_that_malcolm_refuses_is_repeated_under_the_same_name_or_put_aside() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    data.add("web", 3, 100);
    let malcolm = StandIn::start();
    {
        let mut inside = malcolm.inside.lock().unwrap();
        inside.ready = true;
        inside.refuse = vec![503, 302, 429, 413];
    }
    let exporter = exporter(&data, &malcolm);
    let mut running = exporter.run();
    running.until("one file", || exporter.delivered("malcolm") == 1);
    running.until("one aside", || {
        exporter.checkpoint("malcolm").unwrap().series["web/web"]
            .aside
            .len()
            == 1
    });
    let status = exporter.prints(&["status"]);
    assert!(
        status.contains("413") && status.contains("rotate earlier"),
        "{status}"
    );
    exporter.prints(&["retry", "malcolm"]);
    running.until("both files", || exporter.delivered("malcolm") == 2);
    assert_eq!(malcolm.inside.lock().unwrap().kept.len(), 2);
}

#[test]
fn a_file_is_handed_over_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.pcap.gz");
    crate::support::write_capture(&file, crate::support::START, 4, 100);
    let malcolm = StandIn::start();
    malcolm.inside.lock().unwrap().ready = true;
    let exporter = Exporter::new(directory.path(), "");
    let password = directory.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let url = format!("http://{}", malcolm.address);
    let words = [
        "deliver",
        "malcolm",
        &url,
        "--allow-http",
        "--user",
        USER,
        "--password-file",
        password.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let printed = exporter.prints(&words);
    let inside = malcolm.inside.lock().unwrap();
    let (name, content) = inside.kept.first_key_value().unwrap();
    assert!(printed.contains(name.as_str()), "{printed}");
    assert_eq!(super::pcap(content), (1, 4));
}
