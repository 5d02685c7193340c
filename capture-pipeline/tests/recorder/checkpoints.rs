//! Checkpoints of growing files: a repair reads what comes after them, and finds all packets.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use capture_file::{
    manifest::{FileEntry, Manifest},
    repair::{self, Recovered, RepairError, Repaired},
};
use capture_pipeline::recorder::Recorder;
use capture_types::{Compression, Format};

use super::{
    mounts::Mount,
    support::{
        START, Sent, as_pcap, assert_ledger, capture_files, finish, name, of_link_type, packets,
        packets_of_two_link_types, read, read_all, send, spec, start,
    },
};

const EVERY: u64 = 1 << 20;

fn checkpoints(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("directory");
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths
        .filter(|path| path.to_string_lossy().contains(".checkpoint"))
        .collect()
}

fn entries(directory: &Path) -> Vec<FileEntry> {
    let manifest = directory.join("test.manifest.jsonl");
    Manifest::parse(&fs::read_to_string(manifest).expect("manifest")).files
}

fn without_digests(directory: &Path) -> Vec<FileEntry> {
    let entries = entries(directory).into_iter();
    entries
        .map(|entry| FileEntry {
            digest: None,
            ..entry
        })
        .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this many packets are in files.
fn wait_for(recorder: &mut Recorder, packets: usize) {
    wait_until("packets in files", || {
        recorder.tick(START);
        recorder.progress().packets() == packets as u64
    });
}

/// Repairs as soon as the threads of a recorder that was dropped have ended.
fn repaired(directory: &Path) -> Recovered {
    let mut recovered = None;
    wait_until("end of the recorder", || {
        match repair::directory(directory, &name(), None) {
            Ok(done) => recovered = Some(done),
            Err(RepairError::Directory(_)) => {}
            Err(error) => panic!("{error}"),
        }
        recovered.is_some()
    });
    recovered.expect("it was just set")
}

/// Copies everything but checkpoints.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("directory") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("a file");
        if !name.to_string_lossy().starts_with('.') {
            fs::copy(&path, to.join(name)).expect("copy");
        }
    }
}

fn in_formats(each: impl Fn(Format, Compression)) {
    for format in [Format::Pcapng, Format::Pcap] {
        for compression in [
            Compression::None,
            Compression::Gzip(1),
            Compression::Zstd(1),
        ] {
            each(format, compression);
        }
    }
}

fn holds(directory: &Path, format: Format, sent: &[Sent]) {
    let found = read_all(directory);
    for raw in [false, true] {
        let (found, sent) = match format {
            Format::Pcap => (as_pcap(&found, raw), as_pcap(sent, raw)),
            Format::Pcapng | Format::Text => (of_link_type(&found, raw), of_link_type(sent, raw)),
        };
        assert!(found == sent, "{format:?}: other packets, raw: {raw}");
    }
}

#[test]
fn a_file_of_a_recorder_that_died_is_read_from_its_last_checkpoint_and_holds_every_packet() {
    in_formats(|format, compression| {
        let case = format!("{format:?} {compression:?}");
        let directory = tempfile::tempdir().expect("tempdir");
        let mut spec = spec(directory.path());
        spec.output.format = format;
        spec.output.compression = compression;
        spec.checkpoint_every = Some(EVERY);
        let digest = spec.output.digest.take();
        let sent = packets_of_two_link_types(4_500);
        let mut recorder = start(&spec);
        // The second part is after the last checkpoint.
        let (most, last) = sent.split_at(4_400);
        send(&mut recorder, most);
        wait_for(&mut recorder, most.len());
        wait_until("checkpoint of each file", || {
            recorder.tick(START);
            checkpoints(directory.path()).len() == 2
        });
        send(&mut recorder, last);
        wait_for(&mut recorder, sent.len());
        drop(recorder);
        let whole = tempfile::tempdir().expect("tempdir");
        wait_until("end of the recorder", || {
            capture_file::Directory::open(directory.path(), &name()).is_ok()
        });
        copy(directory.path(), whole.path());
        let from_start = repaired(whole.path());
        let read_all_of = |file: &Repaired| file.read == file.bytes;
        assert!(from_start.files.iter().all(read_all_of), "{case}");
        let recovered = repaired(directory.path());
        assert_eq!(recovered.files.len(), 2, "{case}");
        for file in &recovered.files {
            // After the last checkpoint there are at most as many bytes as between two, and a block.
            assert!(file.read < EVERY + (5 << 20), "{case}: {file:?}");
        }
        let large = recovered.files.iter().max_by_key(|file| file.bytes);
        let large = large.expect("two files");
        assert!(large.read < large.bytes * 3 / 4, "{case}: {large:?}");
        assert_eq!(
            without_digests(directory.path()),
            without_digests(whole.path()),
            "{case}"
        );
        let counted: u64 = recovered.files.iter().map(|file| file.packets).sum();
        assert_eq!(counted, sent.len() as u64, "{case}");
        holds(directory.path(), format, &sent);
        assert_eq!(checkpoints(directory.path()), [] as [PathBuf; 0]);
        // The next recorder computes the digests beside its capture.
        assert!(
            entries(directory.path())
                .iter()
                .all(|one| one.digest.is_none())
        );
        spec.output.digest = digest;
        let more = packets(50);
        let mut recorder = start(&spec);
        send(&mut recorder, &more);
        assert_ledger(&finish(recorder), &more);
        for entry in entries(directory.path()) {
            let digest = entry.digest.as_ref().expect("it has been computed");
            let file = fs::File::open(directory.path().join(&entry.file)).expect("open");
            let found = capture_file::digest(file, digest.algorithm()).expect("read");
            assert_eq!(*digest, found, "{case}: {}", entry.file);
        }
    });
}

#[test]
fn a_finished_file_has_no_checkpoint() {
    in_formats(|format, compression| {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut spec = spec(directory.path());
        spec.output.format = format;
        spec.output.compression = compression;
        spec.output.rotation.packets = Some(2_000);
        spec.checkpoint_every = Some(EVERY);
        let sent = packets(5_000);
        let mut recorder = start(&spec);
        send(&mut recorder, &sent[..1_900]);
        wait_for(&mut recorder, 1_900);
        wait_until("checkpoint", || !checkpoints(directory.path()).is_empty());
        // It counts as no file of the capture.
        assert_eq!(capture_files(directory.path()).len(), 1);
        send(&mut recorder, &sent[1_900..]);
        let finished = finish(recorder);
        assert_ledger(&finished, &sent);
        assert_eq!(finished.files.len(), 3);
        assert_eq!(checkpoints(directory.path()), [] as [PathBuf; 0]);
    });
}

#[test]
fn a_file_that_somebody_removed_leaves_no_checkpoint() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.checkpoint_every = Some(EVERY);
    let sent = packets(2_000);
    let mut recorder = start(&spec);
    send(&mut recorder, &sent);
    wait_for(&mut recorder, sent.len());
    wait_until("checkpoint", || !checkpoints(directory.path()).is_empty());
    fs::remove_file(&capture_files(directory.path())[0]).expect("remove");
    let more = packets(10);
    send(&mut recorder, &more);
    wait_until("end of the checkpoint", || {
        recorder.tick(START);
        checkpoints(directory.path()).is_empty()
    });
    let all = [sent, more].concat();
    assert_ledger(&finish(recorder), &all);
}

/// Records while checkpoints cannot be written from `spoil` until `mend`: the capture does not mind.
fn records_without_checkpoints(directory: &Path, spoil: impl Fn(), mend: impl Fn()) {
    let mut spec = spec(directory);
    spec.checkpoint_every = Some(EVERY);
    let sent = packets(6_000);
    let mut recorder = start(&spec);
    spoil();
    for part in sent.chunks(1_000) {
        send(&mut recorder, part);
        let before = recorder.progress().packets();
        wait_until("more packets in files", || {
            recorder.tick(START);
            recorder.progress().packets() > before
        });
    }
    wait_for(&mut recorder, sent.len());
    let mut warnings = Vec::new();
    wait_until("warning", || {
        warnings = recorder.progress().warnings();
        !warnings.is_empty()
    });
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("checkpoint"), "{warnings:?}");
    mend();
    let finished = finish(recorder);
    assert_ledger(&finished, &sent);
    assert_eq!(finished.failure, None);
    assert_eq!(finished.files.len(), 1);
    assert_eq!(read(&finished.files[0].path), (sent, false));
}

#[test]
fn a_file_system_without_room_for_a_checkpoint_does_not_disturb_the_capture() {
    let Some(mount) = Mount::tmpfs(64 << 20, ",nr_inodes=32") else {
        return;
    };
    let filler = |number: usize| mount.path().join(format!("filler-{number}"));
    let fill = || {
        let mut number = 0;
        while fs::write(filler(number), b"").is_ok() {
            number += 1;
        }
    };
    let clear = || (0..32).for_each(|number| drop(fs::remove_file(filler(number))));
    records_without_checkpoints(mount.path(), fill, clear);
}

#[test]
fn a_directory_in_the_place_of_a_checkpoint_does_not_disturb_the_capture() {
    let directory = tempfile::tempdir().expect("tempdir");
    let in_the_way = directory.path().join(".test.000001.checkpoint");
    let put = || fs::create_dir(&in_the_way).expect("mkdir");
    records_without_checkpoints(directory.path(), put, || {});
}
