//! Repairs files that a recorder left when it died: they are truncated after their last whole packet
//! and renamed.
//!
//! A compressed file is truncated after its last whole gzip member or zstd frame that ends with a
//! packet.
//!
//! A file with a checkpoint that is proven to be its own is read from there on, and its digest is left to whoever
//! has time for it: a recorder that continues in the directory, or [`digests`].

use std::{fmt, fs::File, io, path::Path};

use capture_types::{CaptureName, Digest, DigestAlgorithm};

use crate::{
    digest::digest,
    directory::{Directory, DirectoryError},
    index::FileIndex,
    manifest::{FileEndReason, FileEntry},
    name::{Kind, PART},
    part_checkpoint::PartCheckpoint,
    totals::{Baseline, FileTotals},
};
use scan::Whole;

#[cfg(test)]
mod resumed_tests;
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
    /// Bytes that were read to find its packets, and all bytes that it had.
    pub read: u64,
    /// See `read`.
    pub bytes: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            packets,
            cut,
            read,
            bytes,
        } = self;
        match packets {
            0 => write!(f, "file {file} contained no whole packet and was removed"),
            _ => write!(
                f,
                "file {file} was recovered: {packets} packets, {cut} bytes cut off; {read} of {bytes} bytes were read"
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
    for (sequence, file) in &unknown {
        let left = Left {
            directory,
            capture: name,
            file,
            sequence: *sequence,
        };
        let entry = if file.ends_with(PART) {
            let (outcome, entry) = left.unfinished().map_err(failed(file))?;
            repaired.push(outcome);
            entry
        } else {
            Some(left.finished().map_err(failed(file))?)
        };
        index.forget(file);
        if let Some(entry) = entry {
            index.add(entry, Vec::new());
        }
    }
    if !unknown.is_empty() {
        index.save(directory).map_err(failed(index.name()))?;
    }
    for (sequence, _) in unknown {
        PartCheckpoint::remove(directory, name, sequence);
    }
    Ok(Recovered {
        files: repaired,
        added: begun.map(|begun| index.added(begun)),
    })
}

/// Computes the digests that [`directory`] has left out, and enters them into the manifest; returns their number.
/// The directory is locked only at the beginning and at the end.
///
/// # Errors
/// A recorder is active there, which computes them itself, or a file cannot be read.
pub fn digests(path: &Path, name: &CaptureName) -> Result<usize, RepairError> {
    if !path.is_dir() {
        return Ok(0);
    }
    let failed = |file: &str| {
        let file = file.to_owned();
        move |source| RepairError::File { file, source }
    };
    let open = || -> Result<(Directory, FileIndex), RepairError> {
        let directory = Directory::open(path, name)?;
        let index = FileIndex::open(&directory, name).map_err(failed("manifest"))?;
        Ok((directory, index))
    };
    let mut files = Vec::new();
    {
        let (directory, index) = open()?;
        for file in index.undigested() {
            files.push((directory.read(&file).map_err(failed(&file))?, file));
        }
    }
    if files.is_empty() {
        return Ok(0);
    }
    let mut digests = Vec::new();
    for (opened, file) in files {
        let digest = digest(&opened, DigestAlgorithm::default()).map_err(failed(&file))?;
        digests.push((opened, file, digest));
    }
    if !path.is_dir() {
        return Ok(0);
    }
    let (directory, mut index) = open()?;
    let mut count = 0;
    for (opened, file, digest) in digests {
        let metadata = opened.metadata().map_err(failed(&file))?;
        if directory.holds(&file, &metadata).map_err(failed(&file))? {
            index.set_digest(&file, digest);
            count += 1;
        }
    }
    index.save(&directory).map_err(failed(index.name()))?;
    Ok(count)
}

/// A file that a dead recorder left, and that has no entry in the manifest.
struct Left<'a> {
    directory: &'a Directory,
    capture: &'a CaptureName,
    file: &'a str,
    sequence: u64,
}

impl Left<'_> {
    /// The entry of a file with its final name, which the recorder could not enter into the manifest
    /// before it died.
    fn finished(&self) -> io::Result<FileEntry> {
        let name = self.file;
        let file = self.directory.read(name)?;
        let (whole, from_start) = self.scan(&file, name)?;
        let bytes = file.metadata()?.len();
        let known = whole.digest.clone();
        let known = known.filter(|_| whole.extent.stored == bytes);
        Ok(FileEntry {
            digest: self.digest(known, from_start)?,
            ..entry(whole, name.to_owned(), self.sequence, bytes)
        })
    }

    /// Truncates and renames a file.
    fn unfinished(&self) -> io::Result<(Repaired, Option<FileEntry>)> {
        let (directory, part) = (self.directory, self.file);
        let finished = part.strip_suffix(PART).unwrap_or(part).to_owned();
        let file = directory.edit(part)?;
        let bytes = file.metadata()?.len();
        let (whole, from_start) = self.scan(&file, &finished)?;
        let repaired = Repaired {
            file: finished.clone(),
            packets: whole.extent.packets,
            cut: bytes - whole.extent.stored,
            read: whole.read,
            bytes,
        };
        if whole.extent.packets == 0 {
            directory.remove(part)?;
            directory.sync()?;
            return Ok((repaired, None));
        }
        file.set_len(whole.extent.stored)?;
        file.sync_all()?;
        let digest = self.digest(whole.digest.clone(), from_start)?;
        directory.publish(part, &finished)?;
        let bytes = whole.extent.stored;
        let entry = FileEntry {
            digest,
            ended: Some(FileEndReason::Interrupted),
            ..entry(whole, finished, self.sequence, bytes)
        };
        Ok((repaired, Some(entry)))
    }

    /// How much of the file is whole, and whether it was read from its start. `finished` is its final name.
    fn scan(&self, file: &File, finished: &str) -> io::Result<(Whole, bool)> {
        let kind = Kind::of(finished.as_ref());
        let sequence = self.sequence;
        let unused = |reason: &dyn fmt::Display| {
            tracing::warn!(
                "file {finished} is read from its start: its checkpoint is not used: {reason}"
            );
        };
        match PartCheckpoint::load(self.directory, self.capture, sequence, file, kind) {
            Ok(Some(checkpoint)) => match scan::rest(file, kind, &checkpoint.position)? {
                Some(whole) => return Ok((whole, false)),
                None => unused(&"what follows it is no record"),
            },
            Ok(None) => {}
            Err(problem) => unused(&problem),
        }
        Ok((scan::whole(file, kind)?, true))
    }

    /// The digest of a file. If it is not known, a file that was read from its start is read again for it.
    fn digest(&self, known: Option<Digest>, from_start: bool) -> io::Result<Option<Digest>> {
        if known.is_some() || !from_start {
            return Ok(known);
        }
        digest(self.directory.read(self.file)?, DigestAlgorithm::default()).map(Some)
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
