//! The archive: an OCI image layout (<https://github.com/opencontainers/image-spec>) in a tar file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use crate::{Architecture, Tree};

/// The properties of an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Full name with a tag, as in `localhost/captured:0.1.0`.
    pub name: String,
    /// The architecture of its programs.
    pub architecture: Architecture,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, which a user can replace.
    pub arguments: Vec<String>,
    /// User id, `0` for root.
    pub user: String,
    /// Labels, such as `org.opencontainers.image.licenses`.
    pub labels: Vec<(String, String)>,
}

/// A file below `blobs/sha256`.
struct Blob {
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(content: Vec<u8>) -> Self {
        let digest = sha256(&content);
        Self { digest, content }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        let digest = format!("sha256:{}", self.digest);
        json!({"mediaType": media_type, "digest": digest, "size": self.content.len()})
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Image {
    /// Writes the archive; an existing file is replaced when the new one is complete. Returns the digest of
    /// the image's manifest, in hexadecimal.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, tree: &Tree, file: &Path) -> Result<String> {
        let layer = tree.to_tar()?;
        let config = Blob::new(serde_json::to_vec(&self.configuration(&sha256(&layer)))?);
        let layer = Blob::new(compress(&layer)?);
        let manifest = Blob::new(serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        }))?);
        let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        entry["platform"] = json!({"architecture": self.architecture.name(), "os": "linux"});
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        entry["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
            ("index.json".to_owned(), serde_json::to_vec(&index)?),
        ];
        let digest = manifest.digest.clone();
        for blob in [config, layer, manifest] {
            files.push((format!("blobs/sha256/{}", blob.digest), blob.content));
        }
        replace(file, &files).with_context(|| format!("writing {}", file.display()))?;
        Ok(digest)
    }

    fn configuration(&self, layer: &str) -> Value {
        let labels: serde_json::Map<_, _> = self
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "architecture": self.architecture.name(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": self.user,
                "Env": ["PATH=/usr/bin:/bin"],
                "Entrypoint": self.entrypoint,
                "Cmd": self.arguments,
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        })
    }
}

fn compress(content: &[u8]) -> Result<Vec<u8>> {
    // Without a name and a time, so that equal layers stay equal.
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::new(4));
    gzip.write_all(content)?;
    Ok(gzip.finish()?)
}

fn replace(file: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let new = file.with_extension("new");
    let mut archive = Builder::new(BufWriter::new(File::create(&new)?));
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    archive.into_inner()?.flush()?;
    std::fs::rename(&new, file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(File::open(path).unwrap());
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }

    #[test]
    fn every_digest_leads_from_the_index_to_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        let mut tree = Tree::default();
        tree.text("/etc/hello", "hello\n").unwrap();
        let image = Image {
            name: "localhost/hello:1".into(),
            architecture: Architecture::Arm64,
            entrypoint: vec!["/hello".into()],
            arguments: Vec::new(),
            user: "65532".into(),
            labels: vec![("a".into(), "b".into())],
        };
        let digest = image.write(&tree, &path).unwrap();
        let files = files(&path);
        let json =
            |content: &[u8]| -> Value { serde_json::from_slice(content).expect("JSON in a blob") };
        let follow = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap().replace(':', "/");
            let content = &files[&format!("blobs/{name}")];
            assert_eq!(descriptor["size"], content.len());
            assert_eq!(name, format!("sha256/{}", super::sha256(content)));
            content.clone()
        };
        let index = json(&files["index.json"]);
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], format!("sha256:{digest}"));
        assert_eq!(entry["platform"]["architecture"], "arm64");
        let name = &entry["annotations"]["io.containerd.image.name"];
        assert_eq!(name, "localhost/hello:1");
        let manifest = json(&follow(entry));
        let configuration = json(&follow(&manifest["config"]));
        assert_eq!(configuration["config"]["User"], "65532");
        let mut layer = Vec::new();
        GzDecoder::new(follow(&manifest["layers"][0]).as_slice())
            .read_to_end(&mut layer)
            .unwrap();
        let expected = format!("sha256:{}", super::sha256(&layer));
        assert_eq!(configuration["rootfs"]["diff_ids"][0], expected);
        assert_eq!(layer, tree.to_tar().unwrap());
        assert_eq!(
            image.write(&tree, &path).unwrap(),
            digest,
            "the same files give the same image"
        );
    }
}
