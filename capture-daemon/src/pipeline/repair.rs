//! Files that a recorder left when it died: cut behind their last whole packet and given their names.
//!
//! A compressed file is cut behind its last whole gzip member or zstd frame that ends with a packet.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
};

use super::{
    book::Book,
    directory::{Directory, DirectoryError},
    holdings::{Begun, Held},
};
use capture_file::{
    manifest::{EndReason, FileEntry},
    name::PART,
};
use packets::Whole;

use capture_types::CaptureName;

mod members;
mod packets;
#[cfg(test)]
mod tests;

/// Why files could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Reading or writing.
    #[error("file {file:?}: {source}")]
    File {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Its final name.
    pub file: String,
    /// Packets that it holds; none: it was removed.
    pub packets: u64,
    /// Bytes that were cut off.
    pub cut: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, packets, cut } = self;
        match packets {
            0 => write!(f, "file {file} held no whole packet and was removed"),
            _ => write!(
                f,
                "file {file} was recovered: {packets} packets, {cut} bytes cut off"
            ),
        }
    }
}

/// What was recovered.
#[derive(Debug, Default)]
pub struct Recovered {
    /// What became of unfinished files.
    pub files: Vec<Repaired>,
    /// What the recorder has added, if it is known how it began.
    pub added: Option<Held>,
}

/// Recovers what a dead recorder of this name left in a directory, and counts what it holds. Fails if
/// one is at work there.
pub fn directory(
    path: &Path,
    name: &CaptureName,
    begun: Option<&Begun>,
) -> Result<Recovered, RepairError> {
    if !path.is_dir() {
        return Ok(Recovered::default());
    }
    let directory = &Directory::open(path, name)?;
    let failed = |file: &str| {
        let file = file.to_owned();
        move |source| RepairError::File { file, source }
    };
    // What was being compressed after rotation is still there as it was: the book tidies that up.
    let mut book = Book::open(directory, name).map_err(failed("manifest"))?;
    let mut repaired = Vec::new();
    let unknown = book.unknown();
    for (sequence, name) in &unknown {
        let entry = if name.ends_with(PART) {
            let (outcome, entry) = file(directory, name, *sequence).map_err(failed(name))?;
            repaired.push(outcome);
            entry
        } else {
            Some(finished(directory, name, *sequence).map_err(failed(name))?)
        };
        book.forget(name);
        if let Some(entry) = entry {
            book.add(entry, Vec::new());
        }
    }
    if !unknown.is_empty() {
        book.save(directory).map_err(failed(book.name()))?;
    }
    Ok(Recovered {
        files: repaired,
        added: begun.map(|begun| book.added(begun)),
    })
}

/// A file that has its name, and that the recorder could not enter into the manifest before it died.
fn finished(directory: &Directory, name: &str, sequence: u64) -> io::Result<FileEntry> {
    let file = directory.read(name)?;
    let whole = members::whole(&file, name)?;
    Ok(FileEntry {
        sha256: Some(digest(&directory.path().join(name))?),
        ..entry(whole, name.to_owned(), sequence, file.metadata()?.len())
    })
}

fn entry(whole: Whole, name: String, sequence: u64, bytes: u64) -> FileEntry {
    FileEntry {
        link_types: whole.link_types,
        packets: Some(whole.packets),
        bytes_uncompressed: Some(whole.raw),
        first: whole.first.map(Into::into),
        last: whole.last.map(Into::into),
        ..FileEntry::unknown(name, sequence, bytes)
    }
}

fn file(
    directory: &Directory,
    part: &str,
    sequence: u64,
) -> io::Result<(Repaired, Option<FileEntry>)> {
    let finished = part.strip_suffix(PART).unwrap_or(part).to_owned();
    let path = directory.path().join(part);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
    let bytes = file.metadata()?.len();
    let whole = members::whole(&file, &finished)?;
    let repaired = Repaired {
        file: finished.clone(),
        packets: whole.packets,
        cut: bytes - whole.stored,
    };
    if whole.packets == 0 {
        directory.remove(part)?;
        directory.sync()?;
        return Ok((repaired, None));
    }
    file.set_len(whole.stored)?;
    file.sync_all()?;
    let sha256 = digest(&path)?;
    directory.publish(part, &finished)?;
    let bytes = whole.stored;
    let entry = FileEntry {
        sha256: Some(sha256),
        ended: Some(EndReason::Interrupted),
        ..entry(whole, finished, sequence, bytes)
    };
    Ok((repaired, Some(entry)))
}

fn digest(path: &Path) -> io::Result<String> {
    use sha2::Digest as _;
    let mut file = fs::File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(capture_file::hex(&hash.finalize()))
}
