//! Files that a person names: what is known of them, from a manifest beside them or from their content.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use capture_file::{
    CaptureReader, Item,
    manifest::{FileEntry, Manifest},
    name::Kind,
};
use capture_types::Format;

use crate::file::{FinishedFile, Origin, open_regular};

/// Manifests that are looked at, and the largest one.
const MOST_MANIFESTS: usize = 1000;
const LARGEST_MANIFEST: u64 = 64 << 20;

/// Why a file cannot be delivered by hand.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    path: PathBuf,
    source: std::io::Error,
}

/// A file by its path.
///
/// # Errors
/// It cannot be read, is no regular file, or its name is not UTF-8.
pub fn file(path: &Path, origin: &Arc<Origin>) -> Result<FinishedFile, FileError> {
    let failed = |source| FileError {
        path: path.to_owned(),
        source,
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failed(std::io::Error::other("its name is not UTF-8")))?;
    let opened = open_regular(path).map_err(failed)?;
    let bytes = opened.metadata().map_err(failed)?.len();
    let known = from_manifest(path, name).filter(|(_, entry)| entry.bytes == bytes);
    let (capture, entry) = match known {
        Some(known) => known,
        None => (capture_of(name), from_content(opened, path, name, bytes)),
    };
    Ok(FinishedFile {
        path: path.to_owned(),
        series: capture.clone(),
        capture,
        entry,
        of: None,
        origin: Arc::clone(origin),
    })
}

/// The line of a manifest in the same directory, and the name of its capture.
fn from_manifest(path: &Path, name: &str) -> Option<(String, FileEntry)> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let manifests = std::fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let capture = entry
                .file_name()
                .to_str()?
                .strip_suffix(".manifest.jsonl")?
                .to_owned();
            Some((capture, entry.path()))
        });
    for (capture, manifest) in manifests.take(MOST_MANIFESTS) {
        let mut text = String::new();
        let read = open_regular(&manifest)
            .and_then(|file| file.take(LARGEST_MANIFEST).read_to_string(&mut text));
        if read.is_err() {
            continue;
        }
        let found = Manifest::parse(&text)
            .files
            .into_iter()
            .find(|entry| entry.file == name);
        if let Some(entry) = found {
            return Some((capture, entry));
        }
    }
    None
}

/// Counts the packets. What cannot be read stays unknown: the file is delivered as it is.
fn from_content(opened: std::fs::File, path: &Path, name: &str, bytes: u64) -> FileEntry {
    let mut entry = FileEntry::unknown(name.to_owned(), 0, bytes);
    if Kind::of(path).format == Format::Text {
        return entry;
    }
    let Ok(mut reader) = CaptureReader::new(opened) else {
        return entry;
    };
    let (mut packets, mut first, mut last) = (0, u64::MAX, 0);
    loop {
        match reader.next_item() {
            Ok(Some(Item::Packet(packet))) => {
                packets += 1;
                first = first.min(packet.timestamp);
                last = last.max(packet.timestamp);
            }
            Ok(Some(Item::Interface(interface))) => {
                if !entry.link_types.contains(&interface.link_type) {
                    entry.link_types.push(interface.link_type);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return entry,
        }
    }
    entry.packets = Some(packets);
    entry.bytes_uncompressed = Some(reader.offset());
    if packets > 0 {
        (entry.first, entry.last) = (Some(first.into()), Some(last.into()));
    }
    entry
}

/// The name of the capture, if the file is named as the recorder names its files; else the name without
/// extensions.
fn capture_of(name: &str) -> String {
    let stem = name
        .split('.')
        .next()
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name);
    let mut parts = stem.rsplitn(4, '-');
    let (sequence, time, date, capture) = (parts.next(), parts.next(), parts.next(), parts.next());
    let digits = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| {
            part.len() >= length && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    match capture {
        Some(capture) if digits(sequence, 6) && digits(time, 6) && digits(date, 8) => {
            capture.to_owned()
        }
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::capture_of;

    #[test]
    fn the_name_of_a_capture_is_found_in_the_name_of_its_file() {
        assert_eq!(capture_of("web-20231114-221320-000001.pcapng.zst"), "web");
        assert_eq!(capture_of("a-b-20231114-221320-000001.pcap"), "a-b");
        assert_eq!(capture_of("trace.pcap"), "trace");
        assert_eq!(capture_of("my-trace-1.pcap"), "my-trace-1");
        assert_eq!(capture_of(".pcap"), ".pcap");
    }
}
