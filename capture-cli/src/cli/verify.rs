//! `capturectl verify`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::pin,
    thread,
};

use bytes::{Buf as _, Bytes};
use capture_args::console::plain;
use capture_types::{Digest, DigestAlgorithm, Format};
use clap::Args;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    Context,
    answers::{Answers, OnNode, ask},
    exit::{Error, Exit},
    output, tables,
};
use capture_client::{Client, ClientError, Piece, model};
use capture_file::{CaptureReader, Hasher, Item, ReadError, digest};

/// Check files against their manifest, and that they can be read to the end.
///
/// The files of a capture are transferred from every node, but not stored.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name of a capture on the nodes.
    #[arg(required_unless_present = "files", value_name = "NAME")]
    name: Option<String>,

    /// A capture file on this machine. Repeatable.
    #[arg(long = "file", value_name = "PATH", conflicts_with = "name")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    file: String,
    good: bool,
    problem: Option<String>,
    packets: Option<u64>,
    digest: Digest,
}

pub(super) async fn run(context: &Context, arguments: &VerifyArgs) -> Result<Exit, Error> {
    let Answers { answers, mut exit } = match &arguments.name {
        None => local(&arguments.files)?,
        Some(name) => {
            let options = context.settings.call_options(&context.reason);
            let asked = ask(context, &options, async |client, _| {
                let mut verdicts = Vec::new();
                for file in client.files(name).await?.files {
                    if file.is_whole() {
                        verdicts.push(remote(client, &file).await?);
                    }
                }
                Ok(verdicts)
            });
            asked.await.flat()
        }
    };
    if answers.iter().any(|answer| !answer.value.good) {
        exit = exit.and(Exit::Damaged);
    }
    let several = context.several_nodes();
    output::print_list(context.format, &answers, exit, || table(&answers, several))?;
    Ok(exit)
}

fn table(verdicts: &[OnNode<Verdict>], several: bool) -> String {
    if verdicts.is_empty() {
        return "no files\n".to_owned();
    }
    let mut table = tables::begin(several, &["file", "packets", "verdict"], &["packets"]);
    for OnNode { node, value } in verdicts {
        let mut cells = tables::node_cell(several, node);
        cells.extend([
            plain(&value.file).into(),
            tables::count(value.packets).into(),
            plain(value.problem.as_deref().unwrap_or("good")).into(),
        ]);
        table.add_row(cells);
    }
    output::text(&table)
}

/// Reads a node's file once: hashed and parsed as it arrives.
async fn remote(client: &Client, file: &model::File) -> Result<Verdict, ClientError> {
    let (sender, receiver) = mpsc::channel(16);
    let is_text = file.format == Some(Format::Text);
    let parser = thread::spawn(move || count(Channel::new(receiver), is_text));
    let mut hasher = Hasher::new(algorithm(file.digest.as_ref()));
    let stream = client.read_file(&file.capture, &file.name, 0).await?;
    let mut stream = pin!(stream);
    let mut ended = false;
    while let Some(piece) = stream.next().await {
        match piece? {
            Piece::Header(_) => {}
            Piece::Chunk { data, .. } => {
                hasher.update(&data);
                // A parser that has given up reads no more; its verdict says why.
                let _ = sender.send(data).await;
            }
            Piece::End { .. } => ended = true,
        }
    }
    drop(sender);
    let counted = match parser.join() {
        Ok(counted) => counted,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    if !ended {
        return Err(ClientError::Broken(format!(
            "the node stopped sending in the middle of {}",
            file.name
        )));
    }
    Ok(verdict(
        file.name.clone(),
        hasher.digest(),
        counted,
        file.digest.as_ref(),
        file.packets,
    ))
}

fn local(paths: &[PathBuf]) -> Result<Answers<Verdict>, Error> {
    let mut answers = Vec::new();
    for path in paths {
        let (expected, packets) = known(path).unwrap_or_default();
        let digest = File::open(path)
            .and_then(|file| digest(file, algorithm(expected.as_ref())))
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        let is_text = is_text(path);
        let counted = File::open(path)
            .map_err(ReadError::from)
            .and_then(|file| count(file, is_text));
        answers.push(OnNode {
            node: "here".to_owned(),
            value: verdict(
                path.display().to_string(),
                digest,
                counted,
                expected.as_ref(),
                packets,
            ),
        });
    }
    Ok(Answers {
        answers,
        exit: Exit::Done,
    })
}

/// The algorithm of the expected digest, or the one to show.
fn algorithm(expected: Option<&Digest>) -> DigestAlgorithm {
    expected.map_or_else(DigestAlgorithm::default, Digest::algorithm)
}

fn verdict(
    file: String,
    digest: Digest,
    counted: Result<u64, ReadError>,
    expected_digest: Option<&Digest>,
    expected_packets: Option<u64>,
) -> Verdict {
    let mut problem = None;
    let mut packets = None;
    match counted {
        Ok(counted) => {
            packets = Some(counted);
            if let Some(expected) = expected_packets.filter(|expected| *expected != counted) {
                problem = Some(format!("has {counted} packets and should have {expected}"));
            }
        }
        Err(error) => problem = Some(error.to_string()),
    }
    // Comes last: it explains the others.
    if let Some(expected) = expected_digest.filter(|expected| **expected != digest) {
        problem = Some(format!("its digest is {digest} and should be {expected}"));
    }
    Verdict {
        file,
        good: problem.is_none(),
        problem,
        packets,
        digest,
    }
}

fn count<'a>(input: impl Read + Send + 'a, is_text: bool) -> Result<u64, ReadError> {
    if is_text {
        return count_lines(input);
    }
    let mut reader = CaptureReader::new(input)?;
    let mut packets = 0;
    while let Some(item) = reader.next_item()? {
        packets += u64::from(matches!(item, Item::Packet(_)));
    }
    Ok(packets)
}

/// A line is a packet.
fn count_lines<'a>(input: impl Read + Send + 'a) -> Result<u64, ReadError> {
    let mut input = capture_file::decoded(input)?;
    let mut buffer = vec![0; 64 << 10];
    let (mut offset, mut whole, mut lines) = (0, 0, 0);
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            // What the system cannot read is no damage of the file.
            Err(error) if error.raw_os_error().is_some() => return Err(error.into()),
            Err(error) => {
                let problem = error.to_string();
                return Err(ReadError::Damaged { offset, problem });
            }
        };
        for (at, byte) in (offset..).zip(&buffer[..read]) {
            if *byte == b'\n' {
                lines += 1;
                whole = at + 1;
            }
        }
        offset += read as u64;
    }
    if whole == offset {
        Ok(lines)
    } else {
        Err(ReadError::Cut { offset: whole })
    }
}

/// Whether a file's name says that it holds lines.
fn is_text(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".zst").unwrap_or(name).ends_with(".txt")
}

/// The digest and the packets that the manifest beside a file states.
fn known(path: &Path) -> Option<(Option<Digest>, Option<u64>)> {
    let name = path.file_name()?.to_str()?;
    let entries = path.parent()?.read_dir().ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|beside| beside.to_string_lossy().ends_with(".manifest.jsonl"))
        .find_map(|manifest| {
            let text = std::fs::read_to_string(manifest).ok()?;
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let mut lines = lines.filter(|line: &serde_json::Value| line["file"] == name);
            let line = lines.next()?;
            Some((
                line["digest"].as_str().and_then(|text| text.parse().ok()),
                line["packets"].as_u64(),
            ))
        })
}

/// Chunks as they arrive, as a reader.
struct Channel {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
}

impl Channel {
    const fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            chunk: Bytes::new(),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let read = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capture_file::{Kind, Writer};

    #[test]
    fn a_file_of_lines_has_as_many_packets_as_lines() {
        let lines = |text: &[u8]| count_lines(std::io::Cursor::new(text.to_vec()));
        assert_eq!(lines(b"").unwrap(), 0);
        assert_eq!(lines(b"one\ntwo\n").unwrap(), 2);
        assert!(matches!(
            lines(b"one\ntw"),
            Err(ReadError::Cut { offset: 4 })
        ));
        let frame = zstd::encode_all(&b"one\n"[..], 1).unwrap();
        assert_eq!(lines(&frame.repeat(3)).unwrap(), 3);
        assert!(lines(&frame[..frame.len() - 1]).is_err(), "it is cut off");
        for (name, expected) in [("a.txt", true), ("a.txt.zst", true), ("a.pcap.gz", false)] {
            assert_eq!(is_text(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_local_file_is_compared_with_the_manifest_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web-1.pcapng");
        let whole = Writer::new(Vec::new(), Kind::PCAPNG, "x").unwrap();
        std::fs::write(&path, whole.finish().unwrap()).unwrap();
        let paths = [path.clone()];
        let judge = || local(&paths).unwrap().answers.remove(0).value;
        let alone = judge();
        assert!(alone.good, "{alone:?}");
        let manifest = directory.path().join("web.manifest.jsonl");
        let line = |digest: &str, packets: u64| serde_json::json!({"file": "web-1.pcapng", "digest": digest, "packets": packets});
        let right = alone.digest.to_string();
        let wrong = format!("sha256:{}", "0".repeat(64));
        for (digest, packets, good) in [
            (right.as_str(), 0, true),
            (right.as_str(), 1, false),
            (wrong.as_str(), 0, false),
        ] {
            let text = format!("{{\"capture\":\"web\"}}\n{}\n", line(digest, packets));
            std::fs::write(&manifest, text).unwrap();
            assert_eq!(judge().good, good, "{digest} {packets}");
        }
        std::fs::remove_file(&manifest).unwrap();
        std::fs::write(&path, b"this is not a capture file at all").unwrap();
        assert!(!judge().good);
    }
}
