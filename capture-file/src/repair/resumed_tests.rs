//! Files with checkpoints: those that are their own, and all others.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, symlink},
    path::{Path, PathBuf},
};

use capture_types::{Digest, DigestAlgorithm, Format};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{
    Recovered, digests, directory,
    tests::{FORMATS, START, Sample, compress, name},
};
use crate::{
    Directory, FileIndex, PartCheckpoint, Position, Tail, boot_id,
    digest::digest,
    manifest::{FileEntry, Manifest},
};

const CHECKPOINT: &str = ".a.000001.checkpoint";
/// Packets in the file before the checkpoint, and in all.
const BEFORE: usize = 6;
const ALL: usize = 12;

/// A directory with a file that a killed recorder left.
struct Scene {
    root: tempfile::TempDir,
    part: String,
    bytes: Vec<u8>,
    position: Position,
}

impl Scene {
    fn new(format: Format, extension: &str, suffix: &str) -> Self {
        let sample = Sample::new(format);
        let (mut bytes, mut begin, mut stored) = (Vec::new(), 0, 0);
        for packets in [2, BEFORE, 9, ALL] {
            let end = sample.ends[packets];
            let piece = &sample.bytes[begin..end];
            match suffix {
                "" => bytes.extend(piece),
                _ => bytes.extend(compress(piece, suffix)),
            }
            if packets == BEFORE {
                stored = bytes.len() as u64;
            }
            begin = end;
        }
        // It died within a write.
        bytes.extend([0x5a; 3]);
        let scene = Self {
            root: tempfile::tempdir().expect("tempdir"),
            part: format!("a-20260101-000000-000001.{extension}{suffix}.part"),
            bytes,
            position: Position {
                stored,
                raw: sample.ends[BEFORE] as u64,
                packets: BEFORE as u64,
                first: Some(START),
                last: Some(START + BEFORE as u64 - 1),
                interfaces: 1,
                link_type: (format != Format::Text).then_some(1),
            },
        };
        fs::write(scene.path(&scene.part), &scene.bytes).expect("write");
        scene
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    /// A checkpoint of the file.
    fn checkpoint(&self, position: Position) -> PartCheckpoint {
        self.checkpoint_of(&boot_id().expect("proc"), &self.path(&self.part), position)
    }

    fn checkpoint_of(&self, boot: &str, file: &Path, position: Position) -> PartCheckpoint {
        let end = self.bytes.len().min(position.stored as usize);
        let tail = Tail::of(&self.bytes[..end]).expect("memory");
        let file = File::open(file).expect("open");
        PartCheckpoint::new(boot, &file, position, tail).expect("metadata")
    }

    fn put(&self, content: &[u8]) {
        fs::write(self.path(CHECKPOINT), content).expect("write");
    }

    fn repair(&self) -> Recovered {
        directory(self.root.path(), &name(), None).expect("repaired")
    }

    fn entry(&self) -> FileEntry {
        let text = fs::read_to_string(self.path("a.manifest.jsonl")).expect("read");
        Manifest::parse(&text).files.remove(0)
    }

    fn digest(&self) -> Digest {
        let stored = File::open(self.path(&self.entry().file)).expect("open");
        digest(stored, DigestAlgorithm::default()).expect("digest")
    }

    /// What a repair makes of the file that reads all of it.
    fn read_as_a_whole(format: Format, extension: &str, suffix: &str) -> FileEntry {
        let scene = Self::new(format, extension, suffix);
        let repaired = scene.repair().files.remove(0);
        assert_eq!(repaired.read, repaired.bytes);
        scene.entry()
    }
}

fn each(mut check: impl FnMut(Format, &str, &str)) {
    for (format, extension) in FORMATS {
        for suffix in ["", ".gz", ".zst"] {
            check(format, extension, suffix);
        }
    }
}

#[test]
fn a_file_with_a_checkpoint_is_repaired_as_any_other_and_its_beginning_is_not_read() {
    each(|format, extension, suffix| {
        let whole = Scene::read_as_a_whole(format, extension, suffix);
        let scene = Scene::new(format, extension, suffix);
        let checkpoint = scene.checkpoint(scene.position.clone());
        scene.put(&checkpoint.encode());
        let repaired = scene.repair().files.remove(0);
        let left = scene.bytes.len() as u64 - scene.position.stored;
        let case = format!("{extension}{suffix}: {repaired:?}");
        assert_eq!(repaired.read, left, "{case}");
        assert_eq!((repaired.packets, repaired.cut), (ALL as u64, 3), "{case}");
        let without_digest = FileEntry {
            digest: None,
            ..whole.clone()
        };
        assert_eq!(scene.entry(), without_digest, "{case}");
        assert!(!scene.path(CHECKPOINT).exists());
        assert_eq!(digests(scene.root.path(), &name()).expect("digests"), 1);
        assert_eq!(scene.entry(), whole, "{case}");
        assert_eq!(scene.entry().digest, Some(scene.digest()), "{case}");
        assert_eq!(digests(scene.root.path(), &name()).expect("digests"), 0);
    });
}

#[test]
fn a_file_that_ends_at_its_checkpoint_is_whole() {
    each(|format, extension, suffix| {
        let scene = Scene::new(format, extension, suffix);
        let checkpoint = scene.checkpoint(scene.position.clone());
        let file = File::options().write(true).open(scene.path(&scene.part));
        let file = file.expect("open");
        file.set_len(scene.position.stored).expect("cut");
        scene.put(&checkpoint.encode());
        let repaired = scene.repair().files.remove(0);
        let expected = (BEFORE as u64, 0, 0);
        let case = format!("{extension}{suffix}");
        assert_eq!(
            (repaired.packets, repaired.cut, repaired.read),
            expected,
            "{case}"
        );
    });
}

#[test]
fn a_finished_file_that_the_manifest_lacks_is_not_read_from_its_start_either() {
    let scene = Scene::new(Format::Pcapng, "pcapng", "");
    let checkpoint = scene.checkpoint(scene.position.clone());
    scene.put(&checkpoint.encode());
    let finished = scene.part.strip_suffix(".part").expect("a part");
    fs::rename(scene.path(&scene.part), scene.path(finished)).expect("rename");
    assert!(scene.repair().files.is_empty());
    let entry = scene.entry();
    assert_eq!((entry.packets, entry.digest), (Some(ALL as u64), None));
    assert!(!scene.path(CHECKPOINT).exists());
    assert_eq!(digests(scene.root.path(), &name()).expect("digests"), 1);
    assert_eq!(scene.entry().digest, Some(scene.digest()));
}

#[test]
fn a_checkpoint_that_is_not_the_files_own_is_not_used() {
    type Spoil = fn(&Scene);
    let spoils: &[(&str, Spoil)] = &[
        ("of another file", |scene| {
            let other = tempfile::NamedTempFile::new_in(scene.root.path()).expect("tempfile");
            let boot = boot_id().expect("proc");
            let checkpoint = scene.checkpoint_of(&boot, other.path(), scene.position.clone());
            scene.put(&checkpoint.encode());
        }),
        ("of another boot", |scene| {
            let boot = "3f0c5b4e-7d86-4d7a-9a52-9b1c1f5b6a01";
            let part = scene.path(&scene.part);
            let checkpoint = scene.checkpoint_of(boot, &part, scene.position.clone());
            scene.put(&checkpoint.encode());
        }),
        ("beyond the end", |scene| {
            let stored = scene.bytes.len() as u64 + 1;
            scene.put(&moved(scene, stored).encode());
        }),
        ("at the greatest offset", |scene| {
            scene.put(&moved(scene, u64::MAX).encode());
        }),
        ("not between records", |scene| {
            scene.put(&moved(scene, scene.position.stored + 3).encode());
        }),
        ("not after what it says", |scene| {
            let checkpoint = scene.checkpoint(scene.position.clone());
            let text = String::from_utf8(checkpoint.encode()).expect("text");
            let mut changed: serde_json::Value =
                serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
            changed["position"]["stored"] = (scene.position.stored - 1).into();
            changed["position"]["raw"] = (scene.position.raw - 1).into();
            let changed: PartCheckpoint = serde_json::from_value(changed).expect("a checkpoint");
            scene.put(&changed.encode());
        }),
        ("of too many interfaces", |scene| {
            let position = Position {
                interfaces: u32::MAX,
                ..scene.position.clone()
            };
            scene.put(&scene.checkpoint(position).encode());
        }),
        ("without times", |scene| {
            let position = Position {
                first: None,
                ..scene.position.clone()
            };
            scene.put(&scene.checkpoint(position).encode());
        }),
        ("huge", |scene| {
            let mut content = scene.checkpoint(scene.position.clone()).encode();
            content.resize(1 << 20, b'\n');
            scene.put(&content);
        }),
        ("garbage", |scene| scene.put(&[0xff; 300])),
        ("nothing", |scene| scene.put(b"")),
        ("a link to one", |scene| {
            let elsewhere = scene.path("elsewhere");
            let content = scene.checkpoint(scene.position.clone()).encode();
            fs::write(&elsewhere, content).expect("write");
            symlink(elsewhere, scene.path(CHECKPOINT)).expect("link");
        }),
        ("a pipe", |scene| {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, scene.path(CHECKPOINT), FileType::Fifo, mode, 0).expect("pipe");
        }),
        ("a directory", |scene| {
            fs::create_dir(scene.path(CHECKPOINT)).expect("mkdir");
        }),
    ];
    each(|format, extension, suffix| {
        let whole = Scene::read_as_a_whole(format, extension, suffix);
        for (what, spoil) in spoils {
            let scene = Scene::new(format, extension, suffix);
            spoil(&scene);
            let repaired = scene.repair().files.remove(0);
            let case = format!("{extension}{suffix}, {what}");
            assert_eq!(repaired.read, repaired.bytes, "{case}");
            assert_eq!(scene.entry(), whole, "{case}");
            let gone = fs::symlink_metadata(scene.path(CHECKPOINT)).is_err();
            assert!(gone || *what == "a directory", "{case} is still there");
        }
    });
}

/// A checkpoint at another offset, where it knows the bytes.
fn moved(scene: &Scene, stored: u64) -> PartCheckpoint {
    scene.checkpoint(Position {
        stored,
        raw: stored,
        ..scene.position.clone()
    })
}

#[test]
fn a_checkpoint_with_any_byte_changed_or_cut_off_is_none() {
    let scene = Scene::new(Format::Pcapng, "pcapng", ".zst");
    let checkpoint = scene.checkpoint(scene.position.clone());
    let content = checkpoint.encode();
    assert_eq!(PartCheckpoint::decode(&content), Ok(checkpoint));
    for at in 0..content.len() {
        PartCheckpoint::decode(&content[..at]).expect_err("it is cut short");
        for bit in 0..8 {
            let mut changed = content.clone();
            changed[at] ^= 1 << bit;
            PartCheckpoint::decode(&changed).expect_err("a bit was changed");
        }
    }
    let longer = [&content[..], b"\n"].concat();
    PartCheckpoint::decode(&longer).expect_err("something was added");
}

#[test]
fn a_file_that_was_written_over_since_its_checkpoint_is_read_as_a_whole() {
    let scene = Scene::new(Format::Pcap, "pcap", "");
    let checkpoint = scene.checkpoint(scene.position.clone());
    scene.put(&checkpoint.encode());
    // The last byte of a packet: every record is whole as before.
    let last = scene.position.stored - 1;
    let file = File::options().write(true).open(scene.path(&scene.part));
    let file = file.expect("open");
    let byte = scene.bytes[last as usize] ^ 1;
    file.write_all_at(&[byte], last).expect("write");
    let repaired = scene.repair().files.remove(0);
    assert_eq!(repaired.read, repaired.bytes);
    assert_eq!(repaired.packets, ALL as u64);
}

#[test]
fn checkpoints_without_a_file_are_removed_and_those_of_others_are_not() {
    let scene = Scene::new(Format::Pcapng, "pcapng", "");
    let kept = [
        CHECKPOINT,
        ".a-b.000001.checkpoint",
        ".a.b.000001.checkpoint",
        ".a.12.checkpoint",
        ".a.00000x.checkpoint",
        "a.000001.checkpoint",
    ];
    let removed = [
        ".a.000001.checkpoint.part",
        ".a.000002.checkpoint",
        ".a.1234567.checkpoint",
    ];
    for file in kept.iter().chain(&removed) {
        fs::write(scene.path(file), b"").expect("write");
    }
    symlink("/etc/passwd", scene.path(".a.000009.checkpoint")).expect("link");
    let directory = Directory::open(scene.root.path(), &name()).expect("open");
    let index = FileIndex::open(&directory, &name()).expect("index");
    // None of them is a capture file.
    assert_eq!(index.sizes(), [scene.bytes.len() as u64]);
    let mut left = directory.list().expect("list");
    left.retain(|file| file.contains("checkpoint"));
    left.sort();
    let mut expected: Vec<String> = kept.map(str::to_owned).into();
    expected.sort();
    assert_eq!(left, expected);
}
