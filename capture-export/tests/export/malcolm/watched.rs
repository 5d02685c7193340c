//! A directory that Malcolm watches.

use std::{fs, mem::MaybeUninit, os::fd::OwnedFd, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::{assert_mixed, mixed};
use crate::support::{Data, Exporter, tree};

#[test]
fn a_watched_directory_never_shows_an_incomplete_file() {
    let mut data = Data::new();
    mixed(&mut data);
    let target = tempfile::tempdir().unwrap();
    let sink = format!(
        "[sink.malcolm]\ntype = 'malcolm'\nurl = 'file://{}'\ntags = ['lab']\n",
        target.path().display()
    );
    let exporter = Exporter::new(data.path(), &sink);
    // Left by an exporter that died.
    fs::create_dir_all(exporter.state_dir().join("sinks/malcolm")).unwrap();
    fs::write(exporter.state_dir().join("sinks/malcolm/converted-x"), "x").unwrap();
    let changes = watch(target.path());
    let mut running = exporter.run();
    running.until("three files", || {
        for entry in fs::read_dir(target.path()).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o640);
                super::pcap(&fs::read(entry.path()).unwrap());
            }
        }
        exporter.delivered("malcolm") == 3
    });
    // The kernel has noted how each name came to be, which a look now and then can miss.
    let appeared = appeared(&changes);
    assert_eq!(appeared.len(), 3, "{appeared:?}");
    for (name, how) in &appeared {
        assert_eq!(*how, ReadFlags::MOVED_TO, "{name} was written in place");
    }
    assert_mixed(&tree(target.path()));
    assert!(tree(&exporter.state_dir().join("sinks/malcolm")).is_empty());
}

/// Watches for files that are made, changed or renamed in a directory.
fn watch(directory: &Path) -> OwnedFd {
    let changes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let all = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
    inotify::add_watch(&changes, directory, all).unwrap();
    changes
}

/// What happened to files, not directories, so far.
fn appeared(changes: &OwnedFd) -> Vec<(String, ReadFlags)> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(changes, &mut buffer);
    let mut found = Vec::new();
    while let Ok(event) = reader.next() {
        if !event.events().contains(ReadFlags::ISDIR) {
            let name = event.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, event.events()));
        }
    }
    found
}
