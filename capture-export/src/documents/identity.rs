//! What documents are known by: the same file read again gives the same names, so that a repeat is no
//! duplicate.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::Kind;

/// The `_id` of documents of one file: 20 characters from the digest of the file, the letter of the kind, and
/// what tells documents of this kind apart.
pub(super) struct Identity {
    text: Vec<u8>,
    prefix: usize,
}

impl Identity {
    /// From the digest of the file. The node and the series are part of it, because two nodes
    /// may record the same bytes.
    pub(super) fn of(node: &str, series: &str, digest: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [node, series, digest] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let text = short(&hash.finalize()).into_bytes();
        Self {
            prefix: text.len(),
            text,
        }
    }

    /// The name of a document, from numbers that tell it apart from others of its kind.
    pub(super) fn name<const N: usize>(&mut self, kind: Kind, numbers: [u64; N]) -> &[u8] {
        self.text.truncate(self.prefix);
        self.text.push(kind.letter());
        for (at, number) in numbers.into_iter().enumerate() {
            if at > 0 {
                self.text.push(b'.');
            }
            // Writing to a `Vec` does not fail.
            let _ = serde_json::to_writer(&mut self.text, &number);
        }
        &self.text
    }

    /// The name of a document, from numbers and a text that tell it apart.
    pub(super) fn name_with<const N: usize>(
        &mut self,
        kind: Kind,
        numbers: [u64; N],
        text: &str,
    ) -> &[u8] {
        let hash = short(&Sha256::digest(text));
        self.name(kind, numbers);
        let _ = write!(self.text, ".{hash}");
        &self.text
    }
}

/// The first 120 bits, in 20 characters that need no escapes in JSON and in URLs.
fn short(digest: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&digest[..digest.len().min(15)])
}

/// The number of a flow, the same in all its documents: from the capture, the Community ID and the time of its
/// first packet.
pub(super) struct FlowIds {
    /// What the capture adds.
    salt: [u8; 12],
}

impl FlowIds {
    pub(super) fn of(node: &str, series: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [node, series] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut salt = [0; 12];
        for (to, from) in salt.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self { salt }
    }

    /// The id of the flow that began at `start`, nanoseconds since 1970-01-01 UTC.
    pub(super) fn id(&self, community_id: &str, start: u64) -> String {
        // All of it fits into one block of SHA-256.
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update(start.to_le_bytes());
        hash.update(community_id);
        short(&hash.finalize())
    }
}

/// By what a flow is known.
pub(super) struct FlowNames {
    pub(super) id: String,
    pub(super) community_id: String,
}

#[cfg(test)]
mod tests {
    use super::{FlowIds, Identity, Kind};

    #[test]
    fn names_are_the_same_again_and_differ_by_file_node_kind_and_number() {
        let name = |node, sha, kind, number| {
            let mut identity = Identity::of(node, "web", sha);
            String::from_utf8_lossy(identity.name(kind, [number])).into_owned()
        };
        let one = name("a", "00", Kind::Flow, 1);
        assert_eq!(one, name("a", "00", Kind::Flow, 1));
        assert_eq!(one.len(), 22);
        for other in [
            name("b", "00", Kind::Flow, 1),
            name("a", "01", Kind::Flow, 1),
            name("a", "00", Kind::Packet, 1),
            name("a", "00", Kind::Flow, 11),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_flow_has_another_id_in_another_capture_and_at_another_time() {
        let ids = FlowIds::of("a", "web");
        let id = ids.id("1:x", 5);
        assert_eq!(id, FlowIds::of("a", "web").id("1:x", 5));
        assert_ne!(id, ids.id("1:x", 6));
        assert_ne!(id, FlowIds::of("a", "we").id("1:x", 5));
    }
}
