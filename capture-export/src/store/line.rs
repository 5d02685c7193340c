//! The object `KEY.manifest.json`: what is known of the object `KEY`.

use capture_file::manifest::FileEntry;
use capture_types::Digest;
use serde::{Deserialize, Serialize};

use super::LINE;
use crate::file::FinishedFile;

/// The version of the format that is written.
pub(super) const VERSION: u32 = 1;

/// What is known of an object. It is written after the object was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLine {
    /// The version of the format.
    pub version: u32,
    /// The name of the object, from the root of the store.
    pub key: String,
    /// The name of the cluster or site.
    pub cluster: String,
    /// The name of the node.
    pub node: String,
    /// The namespace of the recorder.
    pub namespace: String,
    /// The name of the capture.
    pub capture: String,
    /// The line of the node's manifest, with the digest.
    #[serde(flatten)]
    pub entry: FileEntry,
}

impl ObjectLine {
    /// Parses a line that was found under this name. What it says must fit: it comes from outside.
    pub(super) fn parse(text: &[u8], found: &str) -> Result<Self, String> {
        let line: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if line.version != VERSION {
            return Err(format!(
                "version {}, and this program knows {VERSION}",
                line.version
            ));
        }
        if found.strip_suffix(LINE) != Some(&line.key) {
            return Err(format!("it is about {:?}", line.key));
        }
        if line.entry.digest.is_none() {
            return Err("it has no digest".to_owned());
        }
        Ok(line)
    }

    /// The line of a file with this digest, stored under this name.
    pub(super) fn new(file: &FinishedFile, key: &str, digest: &Digest) -> Self {
        let origin = &file.origin;
        let mut entry = file.entry.clone();
        entry.digest = Some(digest.clone());
        Self {
            version: VERSION,
            key: key.to_owned(),
            cluster: origin.cluster.clone(),
            node: origin.node.clone(),
            namespace: origin.namespace.clone(),
            capture: file.capture.clone(),
            entry,
        }
    }
}
