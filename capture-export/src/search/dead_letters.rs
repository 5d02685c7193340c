//! Documents that the cluster will never take, each with the reason: one file per capture file, so that a
//! repeat of the delivery replaces it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The rejected documents of one capture file.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    /// Bytes that may still be written.
    room: u64,
    left_out: u64,
    first_reason: Option<String>,
}

/// What was rejected.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    /// The file with the documents.
    pub(super) path: PathBuf,
    /// Why the first one was rejected; `None` if none was.
    pub(super) first_reason: Option<String>,
    /// Documents that are not in the file, because it would have become too large.
    pub(super) left_out: u64,
}

impl DeadLetters {
    /// Prepares for the rejected documents of a capture file. All files of the directory together have at most
    /// so many bytes.
    pub(super) fn begin(directory: &Path, name: &str, most: u64) -> io::Result<Self> {
        let path = directory.join(format!("{name}.jsonl"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            path,
            state: Mutex::new(State {
                file: None,
                room: most.saturating_sub(used(directory)?),
                left_out: 0,
                first_reason: None,
            }),
        })
    }

    /// Adds a document.
    pub(super) fn add(&self, id: &[u8], document: &[u8], reason: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.first_reason.get_or_insert_with(|| reason.to_owned());
        let mut line = b"{\"reason\":".to_vec();
        serde_json::to_writer(&mut line, reason)?;
        line.extend_from_slice(b",\"_id\":\"");
        line.extend_from_slice(id);
        line.extend_from_slice(b"\",\"document\":");
        line.extend_from_slice(document);
        line.extend_from_slice(b"}\n");
        let length = line.len() as u64;
        if length > state.room {
            state.left_out += 1;
            return Ok(());
        }
        let file = match &mut state.file {
            Some(file) => file,
            none => none.insert(create(&self.path)?),
        };
        file.write_all(&line)?;
        state.room -= length;
        Ok(())
    }

    /// All documents were sent. What was rejected is on the disk.
    pub(super) fn end(&self) -> io::Result<Rejections> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &state.file {
            file.sync_all()?;
        }
        Ok(Rejections {
            path: self.path.clone(),
            first_reason: state.first_reason.clone(),
            left_out: state.left_out,
        })
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Bytes of all files of a directory.
fn used(directory: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut sum = 0;
    for entry in entries {
        match entry?.metadata() {
            Ok(metadata) => sum += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::DeadLetters;

    #[test]
    fn rejected_documents_are_kept_with_their_reason_within_a_bound_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let dead = directory.path().join("dead-letters");
        for _ in 0..2 {
            let letters = DeadLetters::begin(&dead, "one", 100).unwrap();
            letters.add(b"a", br#"{"x":1}"#, "400: \"no\"").unwrap();
            letters.add(b"b", br#"{"x":2}"#, "400").unwrap();
            letters.add(b"c", br#"{"x":3}"#, "400").unwrap();
            let rejections = letters.end().unwrap();
            assert_eq!(rejections.first_reason.as_deref(), Some("400: \"no\""));
            assert_eq!(rejections.left_out, 1);
        }
        let path = dead.join("one.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["reason"], "400: \"no\"");
        assert_eq!(first["document"]["x"], 1);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&dead)), (0o600, 0o700));
        // The bound holds for all files together.
        let letters = DeadLetters::begin(&dead, "two", 100).unwrap();
        letters.add(b"a", br#"{"x":1}"#, "400").unwrap();
        assert_eq!(letters.end().unwrap().left_out, 1);
    }

    #[test]
    fn without_a_rejected_document_there_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let dead = directory.path().join("dead-letters");
        let letters = DeadLetters::begin(&dead, "one", 100).unwrap();
        assert!(letters.end().unwrap().first_reason.is_none());
        assert!(!dead.exists());
    }
}
