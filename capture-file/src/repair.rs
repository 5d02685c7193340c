//! Repairs files that a recorder left when it died: they are truncated after their last whole packet
//! and renamed.
//!
//! A compressed file is truncated after its last whole gzip member or zstd frame that ends with a
//! packet.

use std::{fmt, io, path::Path};

use capture_types::{CaptureName, Digest, DigestAlgorithm};

use crate::{
    digest::digest,
    directory::{Directory, DirectoryError},
    index::FileIndex,
    manifest::{FileEndReason, FileEntry},
    name::{Kind, PART},
    totals::{Baseline, FileTotals},
};
use scan::Whole;

mod scan;
#[cfg(test)]
mod tests;
mod whole_digest;

/// Why files could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file cannot be read or written.
    #[error("file {file:?}: {source}")]
    File {
        /// The file.
        file: String,
        /// The system's error.
        source: io::Error,
    },
}

/// The result of repairing a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Its final name.
    pub file: String,
    /// Packets in it; if 0, the file was removed.
    pub packets: u64,
    /// Bytes that were cut off.
    pub cut: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, packets, cut } = self;
        match packets {
            0 => write!(f, "file {file} contained no whole packet and was removed"),
            _ => write!(
                f,
                "file {file} was recovered: {packets} packets, {cut} bytes cut off"
            ),
        }
    }
}

/// The result of a recovery.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The unfinished files.
    pub files: Vec<Repaired>,
    /// What the recorder has added, if its baseline is known.
    pub added: Option<FileTotals>,
}

/// Recovers the files that a dead recorder of this name left in a directory, and counts their
/// packets. Fails if a recorder is active there.
pub fn directory(
    path: &Path,
    name: &CaptureName,
    begun: Option<&Baseline>,
) -> Result<Recovered, RepairError> {
    if !path.is_dir() {
        return Ok(Recovered::default());
    }
    let directory = &Directory::open(path, name)?;
    let failed = |file: &str| {
        let file = file.to_owned();
        move |source| RepairError::File { file, source }
    };
    // Plain files that were being compressed after rotation are unchanged; the index removes the
    // incomplete copies.
    let mut index = FileIndex::open(directory, name).map_err(failed("manifest"))?;
    let mut repaired = Vec::new();
    let unknown = index.unknown();
    for (sequence, name) in &unknown {
        let entry = if name.ends_with(PART) {
            let (outcome, entry) = file(directory, name, *sequence).map_err(failed(name))?;
            repaired.push(outcome);
            entry
        } else {
            Some(finished(directory, name, *sequence).map_err(failed(name))?)
        };
        index.forget(name);
        if let Some(entry) = entry {
            index.add(entry, Vec::new());
        }
    }
    if !unknown.is_empty() {
        index.save(directory).map_err(failed(index.name()))?;
    }
    Ok(Recovered {
        files: repaired,
        added: begun.map(|begun| index.added(begun)),
    })
}

/// The entry of a file with its final name, which the recorder could not enter into the manifest
/// before it died.
fn finished(directory: &Directory, name: &str, sequence: u64) -> io::Result<FileEntry> {
    let file = directory.read(name)?;
    let whole = scan::whole(&file, Kind::of(name.as_ref()))?;
    let bytes = file.metadata()?.len();
    let known = whole.digest.clone();
    let known = known.filter(|_| whole.extent.stored == bytes);
    Ok(FileEntry {
        digest: Some(digest_of(known, directory, name)?),
        ..entry(whole, name.to_owned(), sequence, bytes)
    })
}

/// The digest of a file, which is read only if it is not known.
fn digest_of(known: Option<Digest>, directory: &Directory, name: &str) -> io::Result<Digest> {
    match known {
        Some(digest) => Ok(digest),
        None => digest(directory.read(name)?, DigestAlgorithm::default()),
    }
}

fn entry(whole: Whole, name: String, sequence: u64, bytes: u64) -> FileEntry {
    let Whole {
        extent, link_types, ..
    } = whole;
    FileEntry {
        link_types,
        packets: Some(extent.packets),
        bytes_uncompressed: Some(extent.raw),
        first: extent.first.map(Into::into),
        last: extent.last.map(Into::into),
        ..FileEntry::unknown(name, sequence, bytes)
    }
}

fn file(
    directory: &Directory,
    part: &str,
    sequence: u64,
) -> io::Result<(Repaired, Option<FileEntry>)> {
    let finished = part.strip_suffix(PART).unwrap_or(part).to_owned();
    let file = directory.edit(part)?;
    let bytes = file.metadata()?.len();
    let whole = scan::whole(&file, Kind::of(finished.as_ref()))?;
    let repaired = Repaired {
        file: finished.clone(),
        packets: whole.extent.packets,
        cut: bytes - whole.extent.stored,
    };
    if whole.extent.packets == 0 {
        directory.remove(part)?;
        directory.sync()?;
        return Ok((repaired, None));
    }
    file.set_len(whole.extent.stored)?;
    file.sync_all()?;
    let digest = digest_of(whole.digest.clone(), directory, part)?;
    directory.publish(part, &finished)?;
    let bytes = whole.extent.stored;
    let entry = FileEntry {
        digest: Some(digest),
        ended: Some(FileEndReason::Interrupted),
        ..entry(whole, finished, sequence, bytes)
    };
    Ok((repaired, Some(entry)))
}
