use std::sync::Arc;

use capture_file::{checkpoint::AsideBy, manifest::FileEntry};

use super::Ledger;
use crate::{
    file::{FinishedFile, Origin},
    follow::Snapshot,
    sink::Receipt,
};

fn file(sequence: u64) -> Arc<FinishedFile> {
    Arc::new(FinishedFile {
        path: format!("/data/a/a-{sequence}").into(),
        series: "a/a".to_owned(),
        capture: "a".to_owned(),
        entry: FileEntry {
            first: Some((sequence * 10).into()),
            last: Some((sequence * 10 + 5).into()),
            packets: Some(2),
            ..FileEntry::unknown(format!("a-{sequence}"), sequence, 100)
        },
        of: None,
        origin: Arc::new(Origin::default()),
    })
}

fn snapshot(numbers: impl IntoIterator<Item = u64>) -> Snapshot {
    Snapshot {
        files: numbers.into_iter().map(file).collect(),
        ..Snapshot::default()
    }
}

fn waiting(ledger: &Ledger, snapshot: &Snapshot) -> Vec<u64> {
    let files = ledger.waiting(snapshot);
    files.iter().map(|file| file.entry.sequence).collect()
}

fn receipt() -> Receipt {
    Receipt {
        place: "there".to_owned(),
        verified: true,
    }
}

#[test]
fn a_restart_continues_after_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let all = snapshot(1..=4);
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&all);
    assert_eq!(waiting(&ledger, &all), [1, 2, 3, 4]);
    ledger.delivered(&file(1), &receipt(), &all);
    ledger.delivered(&file(3), &receipt(), &all);
    ledger.save().unwrap();
    let ledger = Ledger::open(directory.path(), "s").unwrap();
    assert_eq!(waiting(&ledger, &all), [2, 4]);
    assert_eq!(ledger.state().delivered.files, 2);
    assert_eq!(ledger.state().series["a/a"].through, 1);
}

#[test]
fn a_sink_that_comes_later_has_missed_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let all = snapshot(500..=501);
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&all);
    ledger.delivered(&file(500), &receipt(), &all);
    assert_eq!(ledger.state().missed, 0);
    let all = snapshot(505..=506);
    ledger.observe(&all);
    ledger.delivered(&file(505), &receipt(), &all);
    assert_eq!(ledger.state().missed, 4, "501 to 504");
}

#[test]
fn files_that_are_removed_while_nothing_is_delivered_are_counted_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&snapshot(1..=3));
    assert!(ledger.observe(&snapshot(3..=6)));
    assert_eq!(ledger.state().missed, 2, "1 and 2");
    assert!(!ledger.observe(&snapshot(3..=6)));
    ledger.save().unwrap();
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    assert!(ledger.observe(&snapshot(6..=8)));
    assert_eq!(ledger.state().missed, 5, "3, 4 and 5, also after a restart");
    assert_eq!(ledger.state().series["a/a"].missed, 5);
    let all = snapshot(6..=8);
    ledger.delivered(&file(7), &receipt(), &all);
    assert!(ledger.observe(&snapshot(8..=8)));
    assert_eq!(ledger.state().missed, 6, "6, but not 7");
    assert_eq!(waiting(&ledger, &snapshot(8..=8)), [8]);
}

#[test]
fn a_file_put_aside_stops_no_other_and_waits_again_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let all = snapshot(1..=3);
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&all);
    ledger.aside(&file(1), AsideBy::Sink, "too large", &all);
    ledger.delivered(&file(2), &receipt(), &all);
    assert_eq!(ledger.state().series["a/a"].through, 2);
    assert_eq!(waiting(&ledger, &all), [3]);
    assert_eq!(ledger.retry(Some("other")), 0);
    assert_eq!(ledger.retry(None), 1);
    assert_eq!(waiting(&ledger, &all), [1, 3], "2 was delivered");
    ledger.delivered(&file(1), &receipt(), &all);
    assert_eq!(ledger.state().series["a/a"].through, 2);
    assert_eq!(ledger.state().missed, 0);
}

#[test]
fn a_file_put_aside_that_is_removed_is_missed_unless_a_person_skipped_it() {
    let directory = tempfile::tempdir().unwrap();
    let all = snapshot(1..=4);
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&all);
    ledger.aside(&file(1), AsideBy::Sink, "not on disk", &all);
    ledger.aside(&file(2), AsideBy::Person, "of no interest", &all);
    ledger.delivered(&file(3), &receipt(), &all);
    assert_eq!(ledger.state().missed, 0, "all of them exist");
    assert!(ledger.observe(&snapshot(4..=5)));
    assert_eq!(ledger.state().missed, 1, "1, which the sink never got");
    assert_eq!(ledger.state().series["a/a"].missed, 1);
    assert!(ledger.state().series["a/a"].aside.is_empty());
    assert!(!ledger.observe(&snapshot(4..=5)), "counted once");
}

#[test]
fn a_capture_that_began_anew_is_delivered_from_its_first_file_on() {
    let directory = tempfile::tempdir().unwrap();
    let old = snapshot(1..=3);
    let mut ledger = Ledger::open(directory.path(), "s").unwrap();
    ledger.observe(&old);
    for number in 1..=3 {
        ledger.delivered(&file(number), &receipt(), &old);
    }
    let mut anew = FinishedFile::clone(&file(1));
    anew.entry.first = Some(1000.into());
    let anew = Snapshot {
        files: vec![Arc::new(anew)],
        ..Snapshot::default()
    };
    assert!(ledger.observe(&anew));
    assert_eq!(waiting(&ledger, &anew), [1]);
}
