//! The index of a capture's files: those on disk, oldest first, and the manifest written from it.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Read as _, Write as _},
    time::Instant,
};

use capture_types::{CaptureName, Digest, SinkName, time};

use crate::{
    directory::Directory,
    manifest::{CaptureEntry, FileEndReason, FileEntry, InterfaceLedger, Manifest},
    name::{self, PART},
    part_checkpoint::PartCheckpoint,
    save_cost::SaveCost,
    totals::{Baseline, FileTotals},
};

/// The result of compressing a plain file.
#[derive(Debug)]
pub struct Recompressed {
    /// The plain file, which still exists.
    pub plain: String,
    /// The compressed one, under its final name.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its digest, if one is wanted.
    pub digest: Option<Digest>,
}

/// The capture's files and its manifest.
#[derive(Debug)]
pub struct FileIndex {
    manifest: String,
    capture: CaptureEntry,
    files: Vec<Kept>,
    changed: bool,
    /// The earliest time of the next write of the manifest.
    due: Instant,
}

#[derive(Debug)]
struct Kept {
    entry: FileEntry,
    /// Whether this capture finished it, not an earlier one.
    own: bool,
}

impl FileIndex {
    /// An empty index, with a manifest `<prefix>.manifest.jsonl`.
    pub fn empty(name: &CaptureName, prefix: &str) -> Self {
        let now = time::now();
        Self {
            manifest: format!("{prefix}.manifest.jsonl"),
            capture: CaptureEntry {
                capture: name.to_string(),
                program: concat!("captured ", env!("CARGO_PKG_VERSION")).to_owned(),
                started: now.into(),
                updated: now.into(),
                ended: None,
                failure: None,
                last_sequence: 0,
                removed: Default::default(),
                interfaces: Vec::new(),
                export: Vec::new(),
            },
            files: Vec::new(),
            changed: true,
            due: Instant::now(),
        }
    }

    /// Loads what captures of this name have left in the directory.
    pub fn open(directory: &Directory, name: &CaptureName) -> io::Result<Self> {
        let Self {
            manifest,
            mut capture,
            ..
        } = Self::empty(name, name.as_str());
        let before = read(directory, &manifest)?;
        if let Some(before) = before.capture {
            capture.last_sequence = before.last_sequence;
            capture.removed = before.removed;
            capture.export = before.export;
        }
        let mut files = Vec::new();
        let listed = directory.list()?;
        let mut unknown: BTreeSet<String> = listed.iter().cloned().collect();
        tidy(directory, name, &mut unknown)?;
        for entry in before.files {
            if unknown.remove(&entry.file) {
                files.push(Kept { entry, own: false });
            }
        }
        for file in unknown {
            let Some(parsed) = name::parse(name, &file) else {
                continue;
            };
            // A `.part` file was left by a capture that was killed: it is kept, and removed when it
            // is the oldest, like any other.
            let entry = found(directory, file, parsed.sequence);
            files.push(Kept { entry, own: false });
        }
        files.sort_by_key(|kept| kept.entry.sequence);
        let uncounted = files.iter().filter(|kept| kept.entry.packets.is_none());
        let uncounted = uncounted.map(|kept| kept.entry.sequence).collect();
        let names = listed.iter().map(String::as_str);
        PartCheckpoint::tidy(directory, name, names, &uncounted);
        let last = files.last().map_or(0, |kept| kept.entry.sequence);
        capture.last_sequence = capture.last_sequence.max(last);
        Ok(Self {
            manifest,
            capture,
            files,
            changed: true,
            due: Instant::now(),
        })
    }

    /// The highest sequence number that a file of this name has had here.
    pub fn last_sequence(&self) -> u64 {
        self.capture.last_sequence
    }

    /// The content of the directory, and what retention has removed, before anything is added.
    pub fn begun(&self) -> Baseline {
        Baseline {
            sequence: self.last_sequence(),
            there: self.held(|_| true),
            removed: self.removed(),
        }
    }

    /// What a recorder with this baseline has added.
    pub fn added(&self, begun: &Baseline) -> FileTotals {
        begun.added(
            self.held(|sequence| sequence > begun.sequence),
            self.held(|sequence| sequence <= begun.sequence),
            self.removed(),
        )
    }

    fn held(&self, of: impl Fn(u64) -> bool) -> FileTotals {
        let mut held = FileTotals::default();
        let files = self.files.iter().map(|kept| &kept.entry);
        for entry in files.filter(|entry| of(entry.sequence)) {
            held.add(entry.packets.unwrap_or(0), entry.bytes);
        }
        held
    }

    fn removed(&self) -> FileTotals {
        let removed = &self.capture.removed;
        FileTotals {
            files: removed.files,
            packets: removed.packets,
            bytes: removed.bytes,
        }
    }

    /// Files without a manifest entry for their content, by number: those of a recorder that died, and
    /// finished ones that it could not enter.
    pub fn unknown(&self) -> Vec<(u64, String)> {
        let entries = self.files.iter().map(|kept| &kept.entry);
        entries
            .filter(|entry| entry.packets.is_none())
            .map(|entry| (entry.sequence, entry.file.clone()))
            .collect()
    }

    /// Recovered files whose digest is not known.
    pub fn undigested(&self) -> Vec<String> {
        let entries = self.files.iter().map(|kept| &kept.entry);
        let recovered = entries.filter(|entry| {
            entry.packets.is_some() && entry.ended.is_none_or(FileEndReason::is_recovered)
        });
        recovered
            .filter(|entry| entry.digest.is_none() && !entry.file.ends_with(PART))
            .map(|entry| entry.file.clone())
            .collect()
    }

    /// Removes a file that was renamed.
    pub fn forget(&mut self, file: &str) {
        self.files.retain(|kept| kept.entry.file != file);
        self.changed = true;
    }

    /// Adds a finished file.
    pub fn add(&mut self, entry: FileEntry, interfaces: Vec<InterfaceLedger>) {
        self.capture.last_sequence = self.capture.last_sequence.max(entry.sequence);
        if !interfaces.is_empty() {
            self.capture.interfaces = interfaces;
        }
        self.files.push(Kept { entry, own: true });
        self.changed = true;
    }

    /// Sets the sinks of an exporter that get the files.
    pub fn set_export(&mut self, sinks: Vec<SinkName>) {
        if self.capture.export != sinks {
            self.capture.export = sinks;
            self.changed = true;
        }
    }

    /// Whether a file of this name is in the index.
    pub fn holds(&self, file: &str) -> bool {
        self.files.iter().any(|kept| kept.entry.file == file)
    }

    /// Sets a file's digest, if it is still the file that was read.
    pub fn set_digest(&mut self, file: &str, digest: Digest) {
        if let Some(entry) = self.find(file) {
            entry.digest = Some(digest);
            self.changed = true;
        }
    }

    /// Replaces a plain file by a compressed one.
    pub fn replace(&mut self, recompressed: Recompressed) {
        if let Some(entry) = self.find(&recompressed.plain) {
            entry.file = recompressed.file;
            entry.bytes = recompressed.bytes;
            entry.digest = recompressed.digest;
            self.changed = true;
        }
    }

    fn find(&mut self, file: &str) -> Option<&mut FileEntry> {
        // Lookups are mostly of new files.
        self.files
            .iter_mut()
            .rev()
            .map(|kept| &mut kept.entry)
            .find(|entry| entry.file == file)
    }

    /// The files' sizes on disk, oldest first.
    pub fn sizes(&self) -> Vec<u64> {
        self.files.iter().map(|kept| kept.entry.bytes).collect()
    }

    /// The files, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().map(|kept| &kept.entry)
    }

    /// Removes the oldest file; one that no longer exists counts as removed.
    pub fn remove_oldest(&mut self, directory: &Directory) {
        if !self.files.is_empty() {
            self.remove_at(0, directory);
        }
    }

    /// Removes a file; one that no longer exists counts as removed.
    pub fn remove(&mut self, file: &str, directory: &Directory) {
        if let Some(at) = self.files.iter().position(|kept| kept.entry.file == file) {
            self.remove_at(at, directory);
        }
    }

    fn remove_at(&mut self, at: usize, directory: &Directory) {
        let Kept { entry, .. } = self.files.remove(at);
        match directory.remove(&entry.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // It would block retention for ever.
                tracing::warn!(file = entry.file, %error, "cannot remove the file; it is kept from now on");
            }
            _ => {
                let removed = &mut self.capture.removed;
                removed.files += 1;
                removed.packets += entry.packets.unwrap_or(0);
                removed.bytes += entry.bytes;
                removed.last = Some(time::now());
            }
        }
        self.changed = true;
    }

    /// Writes the manifest if something has changed and the pause after the last write is over.
    pub fn save_when_due(&mut self, directory: &Directory) {
        if !self.changed || Instant::now() < self.due {
            return;
        }
        let begun = Instant::now();
        let cost = self.save(directory).unwrap_or_else(|error| {
            tracing::warn!(manifest = self.manifest, %error, "cannot write the manifest");
            SaveCost::of_failure(begun.elapsed())
        });
        self.due = Instant::now() + cost.pause();
    }

    /// Whether the manifest on disk is older than what is known.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Writes the manifest of a capture that has ended.
    pub fn end(&mut self, directory: &Directory, failure: Option<String>) {
        self.capture.ended = Some(time::now().into());
        self.capture.failure = failure;
        if let Err(error) = self.save(directory) {
            tracing::warn!(manifest = self.manifest, %error, "cannot write the manifest");
        }
    }

    /// Replaces the manifest by a new one.
    pub fn save(&mut self, directory: &Directory) -> io::Result<SaveCost> {
        self.capture.updated = time::now().into();
        let part = format!("{}{PART}", self.manifest);
        match directory.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.write(directory, &part);
        if written.is_err() {
            let _ = directory.remove(&part);
        }
        let cost = written?;
        self.changed = false;
        Ok(cost)
    }

    fn write(&self, directory: &Directory, part: &str) -> io::Result<SaveCost> {
        let begun = Instant::now();
        let mut output = BufWriter::new(directory.create(part)?);
        serde_json::to_writer(&mut output, &self.capture)?;
        output.write_all(b"\n")?;
        for kept in &self.files {
            serde_json::to_writer(&mut output, &kept.entry)?;
            output.write_all(b"\n")?;
        }
        let file = output.into_inner().map_err(|error| error.into_error())?;
        let written = Instant::now();
        file.sync_all()?;
        directory.replace(part, &self.manifest)?;
        Ok(SaveCost {
            writing: written - begun,
            syncing: written.elapsed(),
        })
    }

    /// The name of the manifest.
    pub fn name(&self) -> &str {
        &self.manifest
    }

    /// The files of this capture that still exist.
    pub fn into_own_files(self) -> Vec<FileEntry> {
        self.files
            .into_iter()
            .filter(|kept| kept.own)
            .map(|kept| kept.entry)
            .collect()
    }
}

/// Removes one form of files that were being compressed when the capture was killed: the compressed
/// form while it is incomplete, else the plain one.
fn tidy(directory: &Directory, name: &CaptureName, files: &mut BTreeSet<String>) -> io::Result<()> {
    let plain: Vec<String> = files
        .iter()
        .filter(|file| name::parse(name, file).is_some())
        .cloned()
        .collect();
    for plain in plain {
        for suffix in [".gz", ".zst"] {
            let compressed = format!("{plain}{suffix}");
            let part = format!("{compressed}{PART}");
            if files.remove(&part) {
                directory.remove(&part)?;
            }
            if files.contains(&compressed) && files.remove(&plain) {
                directory.remove(&plain)?;
            }
        }
    }
    Ok(())
}

/// Reads the manifest of the earlier captures; empty if there is none. A manifest that is not text is
/// moved aside: packets are then counted from the files.
fn read(directory: &Directory, manifest: &str) -> io::Result<Manifest> {
    let mut text = String::new();
    match directory
        .read(manifest)
        .and_then(|mut file| file.read_to_string(&mut text))
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let aside = format!("{manifest}.unreadable");
            directory.replace(manifest, &aside)?;
            tracing::warn!(
                manifest,
                aside,
                "the manifest is not text and was moved aside"
            );
        }
        Err(error) => return Err(error),
    }
    Ok(Manifest::parse(&text))
}

/// The entry of a file that is in no manifest: a capture was killed before it could enter it.
fn found(directory: &Directory, file: String, sequence: u64) -> FileEntry {
    FileEntry {
        bytes: directory.size(&file),
        file,
        sequence,
        link_types: Vec::new(),
        packets: None,
        bytes_uncompressed: None,
        first: None,
        last: None,
        digest: None,
        ended: None,
        ledger: None,
    }
}

#[cfg(test)]
mod tests {
    use super::FileIndex;
    use crate::directory::Directory;
    use capture_types::CaptureName;

    #[test]
    fn what_a_killed_capture_left_is_in_the_book_once() {
        let root = tempfile::tempdir().expect("tempdir");
        let name = CaptureName::new("a").expect("valid");
        let directory = Directory::open(root.path(), &name).expect("open");
        for file in [
            "a-20260101-000000-000001.pcapng",
            "a-20260101-000000-000001.pcapng.gz",
            "a-20260101-000000-000002.pcapng",
            "a-20260101-000000-000002.pcapng.zst.part",
            "a-20260101-000000-000003.pcap.gz.part",
            "a-b-20260101-000000-000009.pcap",
            "a.manifest.jsonl.part",
        ] {
            directory.create(file).expect("create");
        }
        let mut index = FileIndex::open(&directory, &name).expect("index");
        assert_eq!(index.last_sequence(), 3);
        let files: Vec<&str> = index
            .files
            .iter()
            .map(|kept| kept.entry.file.as_str())
            .collect();
        let left = [
            "a-20260101-000000-000001.pcapng.gz",
            "a-20260101-000000-000002.pcapng",
            "a-20260101-000000-000003.pcap.gz.part",
        ];
        assert_eq!(files, left);
        index.save(&directory).expect("save");
        let mut names = directory.list().expect("list");
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        let others = ["a-b-20260101-000000-000009.pcap", "a.manifest.jsonl"];
        assert_eq!(names, [&left[..], &others].concat());
    }

    #[test]
    fn a_manifest_that_is_no_text_is_put_aside_and_files_are_found_without_it() {
        let root = tempfile::tempdir().expect("tempdir");
        let name = CaptureName::new("a").expect("valid");
        let directory = Directory::open(root.path(), &name).expect("open");
        directory
            .create("a-20260101-000000-000001.pcapng")
            .expect("create");
        let manifest = root.path().join("a.manifest.jsonl");
        std::fs::write(&manifest, [0xff, 0xfe, 0]).expect("write");
        let mut index = FileIndex::open(&directory, &name).expect("index");
        assert_eq!(index.last_sequence(), 1);
        index.save(&directory).expect("save");
        std::fs::read_to_string(&manifest).expect("it is text again");
        let aside = root.path().join("a.manifest.jsonl.unreadable");
        assert_eq!(std::fs::read(aside).expect("read"), [0xff, 0xfe, 0]);
    }
}
