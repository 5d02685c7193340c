use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use capture_file::manifest::{CaptureEntry, FileEntry, Removed};

use super::Follower;
use crate::file::Origin;

fn manifest(directory: &Path, capture: &str, files: &[(&str, u64, u64)]) {
    fs::create_dir_all(directory).unwrap();
    let head = CaptureEntry {
        capture: capture.to_owned(),
        program: "test".to_owned(),
        started: 1.into(),
        updated: 2.into(),
        ended: None,
        failure: None,
        last_sequence: 9,
        removed: Removed::default(),
        interfaces: Vec::new(),
        export: Vec::new(),
    };
    let mut lines = vec![serde_json::to_string(&head).unwrap()];
    for (name, sequence, last) in files {
        let entry = FileEntry {
            last: Some((*last).into()),
            ..FileEntry::unknown((*name).to_owned(), *sequence, 4)
        };
        lines.push(serde_json::to_string(&entry).unwrap());
        if !name.contains('/') {
            fs::write(directory.join(name), "1234").unwrap();
        }
    }
    let part = directory.join("m.part");
    fs::write(&part, lines.join("\n")).unwrap();
    fs::rename(part, directory.join(format!("{capture}.manifest.jsonl"))).unwrap();
}

fn names(follower: &mut Follower) -> Vec<String> {
    let snapshot = follower.scan().unwrap();
    let files = snapshot.files.iter();
    files.map(|file| file.entry.file.clone()).collect()
}

fn follower(data: &Path) -> Follower {
    Follower::new(data, Arc::new(Origin::default()))
}

#[test]
fn files_of_all_captures_come_in_the_order_of_age() {
    let data = tempfile::tempdir().unwrap();
    manifest(&data.path().join("a"), "a", &[("a1", 1, 10), ("a2", 2, 30)]);
    manifest(data.path(), "b", &[("b1", 1, 20), ("b2.part", 2, 5)]);
    let mut follower = follower(data.path());
    assert_eq!(names(&mut follower), ["a1", "b1", "a2"]);
    manifest(&data.path().join("a"), "a", &[("a2", 2, 30), ("a3", 3, 31)]);
    assert_eq!(names(&mut follower), ["b1", "a2", "a3"]);
    fs::remove_dir_all(data.path().join("a")).unwrap();
    assert_eq!(names(&mut follower), ["b1"]);
}

#[test]
fn names_that_lead_elsewhere_and_links_are_not_followed() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let hostile = [
        ("../x", 1, 1),
        ("/etc/passwd", 2, 2),
        ("..", 3, 3),
        ("", 4, 4),
    ];
    let files: Vec<_> = hostile
        .iter()
        .filter(|(name, ..)| name.contains('/'))
        .copied()
        .collect();
    manifest(&data.path().join("a"), "a", &files);
    manifest(elsewhere.path(), "b", &[("b1", 1, 1)]);
    symlink(elsewhere.path(), data.path().join("link")).unwrap();
    symlink(
        elsewhere.path().join("b.manifest.jsonl"),
        data.path().join("b.manifest.jsonl"),
    )
    .unwrap();
    assert!(names(&mut follower(data.path())).is_empty());
}

#[test]
fn a_file_that_is_a_link_a_pipe_or_of_another_size_is_not_opened() {
    let data = tempfile::tempdir().unwrap();
    manifest(
        data.path(),
        "b",
        &[("b1", 1, 1), ("b2", 2, 2), ("b3", 3, 3)],
    );
    fs::remove_file(data.path().join("b1")).unwrap();
    symlink("/etc/passwd", data.path().join("b1")).unwrap();
    fs::write(data.path().join("b2"), "12345").unwrap();
    let files = follower(data.path()).scan().unwrap().files;
    assert!(files[0].open().is_err());
    assert!(files[1].open().is_err());
    assert!(files[2].open().is_ok());
}
