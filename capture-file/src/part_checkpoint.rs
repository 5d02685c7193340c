//! Checkpoints of growing files: how far a `.part` file is whole, and what a reader of the rest has to know.
//! After a SIGKILL a repair continues there, and does not read the file from its start.
//!
//! The checkpoint of file 7 of capture `web` is `.web.000007.checkpoint` in the capture's directory. It is
//! replaced by a rename and never made durable: it is used only until the machine starts anew, because the
//! page cache, which holds it and the file, survives the death of a process and of nothing else.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
};

use capture_types::{CaptureName, Digest, DigestAlgorithm, Format};
use serde::{Deserialize, Serialize};

use crate::{
    digest::digest,
    directory::Directory,
    name::{Codec, Kind, PART},
};

/// The version of the format that this program writes and reads.
const VERSION: u32 = 1;
/// Longer than any checkpoint: its numbers have at most 20 digits.
const LARGEST: u64 = 2 << 10;
/// A file that describes more interfaces is read as a whole.
const MOST_INTERFACES: u32 = 1 << 16;
/// The end of a checkpoint's name.
const SUFFIX: &str = ".checkpoint";

/// The state of a growing file after one of its whole packets; in a compressed file, after a gzip member or zstd
/// frame that ends with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartCheckpoint {
    version: u32,
    /// See [`boot_id`].
    boot: String,
    /// The file's device and inode.
    device: u64,
    inode: u64,
    pub(crate) position: Position,
    /// The bytes before the position, to recognise the content.
    tail: Tail,
}

/// A position in a file, with the totals up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Bytes on disk.
    pub stored: u64,
    /// Bytes before compression.
    pub raw: u64,
    /// Packets.
    pub packets: u64,
    /// The earliest and the latest timestamp, UTC nanoseconds.
    pub first: Option<u64>,
    /// See `first`.
    pub last: Option<u64>,
    /// Interfaces that a pcapng file describes up to here, all with nanosecond timestamps.
    pub interfaces: u32,
    /// Their link type, or that of a pcap file (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: Option<u16>,
}

/// The last bytes before a position: their number and their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    length: usize,
    digest: Digest,
}

impl Tail {
    /// No more bytes than these are kept in mind: the length of a page.
    const LONGEST: usize = 4096;

    /// That of the position at the end of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let length = bytes.len().min(Self::LONGEST);
        let digest = digest(&bytes[bytes.len() - length..], DigestAlgorithm::Xxh128);
        digest.ok().map(|digest| Self { length, digest })
    }
}

/// Identifies the time since the machine was started (random(4): `boot_id`).
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(id.trim_end().to_owned())
}

impl PartCheckpoint {
    /// The checkpoint of a file at a position that ends with `tail`.
    ///
    /// # Errors
    /// The file's properties cannot be read.
    pub fn new(boot: &str, file: &File, position: Position, tail: Tail) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            version: VERSION,
            boot: boot.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            position,
            tail,
        })
    }

    /// The content of its file: a line of JSON, and the digest of that line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let line = serde_json::to_string(self).unwrap_or_default();
        match digest(line.as_bytes(), DigestAlgorithm::Xxh128) {
            Ok(digest) => format!("{line}\n{digest}\n").into_bytes(),
            Err(_) => Vec::new(),
        }
    }

    /// Reads the content of its file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(content: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not text")?;
        let (line, written) = text.split_once('\n').ok_or("it is cut short")?;
        let known = digest(line.as_bytes(), DigestAlgorithm::Xxh128);
        let known = known.map_err(|_| "its digest cannot be computed")?;
        if written != format!("{known}\n") {
            return Err("its digest does not match");
        }
        let checkpoint: Self =
            serde_json::from_str(line).map_err(|_| "it is of another version")?;
        if checkpoint.version != VERSION {
            return Err("it is of another version");
        }
        Ok(checkpoint)
    }

    /// The name of the checkpoint of a file.
    fn name(capture: &CaptureName, sequence: u64) -> String {
        format!(".{capture}.{sequence:06}{SUFFIX}")
    }

    /// The number of the file whose checkpoint, complete or not, has this name.
    #[must_use]
    pub fn parse_name(capture: &CaptureName, name: &str) -> Option<u64> {
        let rest = name.strip_prefix('.')?.strip_prefix(capture.as_str())?;
        let rest = rest.strip_suffix(PART).unwrap_or(rest);
        let number = rest.strip_prefix('.')?.strip_suffix(SUFFIX)?;
        let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| digits)
    }

    /// Replaces the checkpoint of a file.
    ///
    /// # Errors
    /// The file system's error; an earlier checkpoint stays.
    pub fn save(
        &self,
        directory: &Directory,
        capture: &CaptureName,
        sequence: u64,
    ) -> io::Result<()> {
        directory.put(&Self::name(capture, sequence), &self.encode())
    }

    /// Removes the checkpoint of a file, if it has one.
    pub fn remove(directory: &Directory, capture: &CaptureName, sequence: u64) {
        remove(directory, &Self::name(capture, sequence));
    }

    /// Removes the checkpoints, among files of these names, of files other than those with these numbers.
    pub(crate) fn tidy<'a>(
        directory: &Directory,
        capture: &CaptureName,
        names: impl IntoIterator<Item = &'a str>,
        kept: &BTreeSet<u64>,
    ) {
        for name in names {
            if let Some(sequence) = Self::parse_name(capture, name)
                && (name.ends_with(PART) || !kept.contains(&sequence))
            {
                remove(directory, name);
            }
        }
    }

    /// The checkpoint of a file that is proven to be its own; `None` if it has none.
    pub(crate) fn load(
        directory: &Directory,
        capture: &CaptureName,
        sequence: u64,
        file: &File,
        kind: Kind,
    ) -> Result<Option<Self>, Unusable> {
        let name = Self::name(capture, sequence);
        let mut content = Vec::new();
        match directory.read(&name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?.take(LARGEST + 1).read_to_end(&mut content)?,
        };
        if content.len() as u64 > LARGEST {
            return Err(Unusable::Content("it is too long"));
        }
        let checkpoint = Self::decode(&content).map_err(Unusable::Content)?;
        checkpoint.check(file, kind, &boot_id()?)?;
        Ok(Some(checkpoint))
    }

    /// Checks that it belongs to this file.
    fn check(&self, file: &File, kind: Kind, boot: &str) -> Result<(), Unusable> {
        let ensure = |holds, problem| match holds {
            true => Ok(()),
            false => Err(Unusable::Content(problem)),
        };
        let Position {
            stored,
            raw,
            packets,
            first,
            last,
            interfaces,
            link_type,
        } = self.position;
        let metadata = file.metadata()?;
        ensure(
            self.boot == boot,
            "the machine was started anew since it was written",
        )?;
        ensure(
            (self.device, self.inode) == (metadata.dev(), metadata.ino()),
            "it belongs to another file",
        )?;
        ensure(metadata.len() >= stored, "the file is shorter")?;
        let described = match kind.format {
            Format::Pcapng => interfaces == 0 || link_type.is_some(),
            Format::Pcap => link_type.is_some(),
            Format::Text => true,
        };
        let counted = (packets > 0, packets > 0) == (first.is_some(), last.is_some());
        let same = kind.codec != Codec::Plain || stored == raw;
        ensure(
            described && counted && same && first <= last && interfaces <= MOST_INTERFACES,
            "its numbers do not fit together",
        )?;
        let Tail { length, digest } = &self.tail;
        let begin = stored.checked_sub(*length as u64);
        let begin = begin.filter(|_| (1..=Tail::LONGEST).contains(length));
        let begin = begin.ok_or(Unusable::Content("its numbers do not fit together"))?;
        let mut bytes = vec![0; *length];
        file.read_exact_at(&mut bytes, begin)?;
        let found = Tail::of(&bytes).map(|tail| tail.digest);
        ensure(
            found.as_ref() == Some(digest),
            "the file has other content there",
        )
    }
}

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It, or the file, cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not belong to the file.
    #[error("{0}")]
    Content(&'static str),
}

fn remove(directory: &Directory, name: &str) {
    match directory.remove(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(file = name, %error, "cannot remove the checkpoint");
        }
        _ => {}
    }
}
