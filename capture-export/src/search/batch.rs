//! Batches: documents with their actions, as the bulk API takes them, bounded by bytes and number.

use std::io::{self, Write as _};

use flate2::{Compression, write::GzEncoder};
use tokio::sync::mpsc::Sender;

use crate::documents::Output;

const ACTION: &[u8] = b"{\"create\":{\"_id\":\"";
const ACTION_END: &[u8] = b"\"}}\n";

/// The size of a batch. A document more than that makes the next batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes before compression.
    pub(super) bytes: usize,
    pub(super) documents: usize,
}

/// Documents that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The end of each document in the bytes.
    ends: Vec<usize>,
}

impl Batch {
    fn with_room(limits: Limits) -> Self {
        Self {
            bytes: Vec::with_capacity(limits.bytes + (16 << 10)),
            ends: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, id: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(ACTION);
        self.bytes.extend_from_slice(id);
        self.bytes.extend_from_slice(ACTION_END);
        write(&mut self.bytes);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes before compression.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    fn is_full(&self, limits: Limits) -> bool {
        self.bytes.len() >= limits.bytes || self.ends.len() >= limits.documents
    }

    /// The two lines of a document.
    fn lines(&self, at: usize) -> &[u8] {
        let start = match at {
            0 => 0,
            _ => self.ends.get(at - 1).copied().unwrap_or_default(),
        };
        let end = self.ends.get(at).copied().unwrap_or(start);
        &self.bytes[start..end]
    }

    /// A document: its id, and its JSON.
    pub(super) fn document(&self, at: usize) -> (&[u8], &[u8]) {
        let mut lines = self.lines(at).split(|byte| *byte == b'\n');
        let action = lines.next().unwrap_or_default();
        let id = action
            .strip_prefix(ACTION)
            .and_then(|rest| rest.strip_suffix(b"\"}}"));
        (id.unwrap_or_default(), lines.next().unwrap_or_default())
    }

    /// Some of its documents.
    pub(super) fn only(&self, documents: &[usize]) -> Self {
        let mut batch = Self::default();
        for at in documents {
            batch.bytes.extend_from_slice(self.lines(*at));
            batch.ends.push(batch.bytes.len());
        }
        batch
    }

    /// Both halves of a batch of at least two documents.
    pub(super) fn halves(self) -> (Self, Self) {
        let middle = self.len() / 2;
        let all: Vec<usize> = (0..self.len()).collect();
        (self.only(&all[..middle]), self.only(&all[middle..]))
    }

    /// The body of a request, compressed with gzip. Speed counts: most of a document are the names of its fields.
    pub(super) fn body(&self) -> io::Result<Vec<u8>> {
        let room = Vec::with_capacity(self.bytes.len() / 6);
        let mut encoder = GzEncoder::new(room, Compression::fast());
        encoder.write_all(&self.bytes)?;
        encoder.finish()
    }
}

/// Takes documents, and sends batches of them; waits while as many batches wait as the channel holds.
pub(super) struct Batches {
    batch: Batch,
    limits: Limits,
    batches: Sender<Batch>,
    stopped: bool,
}

impl Batches {
    pub(super) fn new(batches: Sender<Batch>, limits: Limits) -> Self {
        Self {
            batch: Batch::with_room(limits),
            limits,
            batches,
            stopped: false,
        }
    }

    fn send(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Batch::with_room(self.limits));
        if batch.len() > 0 && !self.stopped {
            // Without a receiver the delivery was given up.
            self.stopped = self.batches.blocking_send(batch).is_err();
        }
    }
}

impl Output for Batches {
    fn document(&mut self, id: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.batch.add(id, write);
        if self.batch.is_full(self.limits) {
            self.send();
        }
    }

    fn stopped(&self) -> bool {
        self.stopped
    }

    fn finish(&mut self) {
        self.send();
        self.batch = Batch::default();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{Batch, Batches, Limits};
    use crate::documents::Output as _;

    fn batch(count: usize) -> Batch {
        let mut batch = Batch::default();
        for number in 0..count {
            batch.add(number.to_string().as_bytes(), |out| {
                out.extend_from_slice(format!("{{\"n\":{number}}}").as_bytes());
            });
        }
        batch
    }

    #[test]
    fn a_document_is_two_lines_and_is_found_again() {
        let batch = batch(3);
        assert_eq!(batch.document(1), (&b"1"[..], &b"{\"n\":1}"[..]));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&batch.body().unwrap()[..])
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.starts_with("{\"create\":{\"_id\":\"0\"}}\n{\"n\":0}\n{\"create\""));
        assert_eq!(text.lines().count(), 6);
    }

    #[test]
    fn halves_and_selections_keep_every_document() {
        let (first, second) = batch(5).halves();
        assert_eq!((first.len(), second.len()), (2, 3));
        assert_eq!(second.document(2).0, b"4");
        let some = batch(5).only(&[4, 0]);
        assert_eq!(
            (some.document(0).0, some.document(1).0),
            (&b"4"[..], &b"0"[..])
        );
    }

    #[test]
    fn batches_are_bounded_by_number_and_bytes_and_nothing_is_left_behind() {
        for (limits, sizes) in [
            (
                Limits {
                    bytes: 1 << 20,
                    documents: 4,
                },
                vec![4, 4, 2],
            ),
            (
                Limits {
                    bytes: 60,
                    documents: 100,
                },
                vec![3, 3, 3, 1],
            ),
        ] {
            let (sender, mut batches) = tokio::sync::mpsc::channel(10);
            let mut output = Batches::new(sender, limits);
            for number in 0..10 {
                output.document(b"id", |out| out.push(b'0' + number));
            }
            output.finish();
            drop(output);
            let mut found = Vec::new();
            while let Some(batch) = batches.blocking_recv() {
                found.push(batch.len());
            }
            assert_eq!(found, sizes);
        }
    }
}
