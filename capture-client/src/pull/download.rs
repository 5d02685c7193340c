//! Downloads one file from one node, resuming after interruptions.

use std::{
    fs::{self, File},
    future::Future,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    pin::pin,
};

use capture_file::Hasher;
use capture_types::{Digest, DigestAlgorithm};
use futures_util::{Stream, StreamExt as _};
use thiserror::Error;

use super::{
    Retry,
    workspace::{private, sync_directory_of},
};
use crate::{Client, ClientError, Piece};

/// A source of a file's bytes.
pub trait Fetch {
    /// Reads a file from an offset on; opens a new connection for each call if needed.
    fn read(
        &self,
        file: &str,
        offset: u64,
    ) -> impl Future<Output = Result<impl Stream<Item = Result<Piece, ClientError>> + Send, ClientError>>;
}

/// A capture on a node.
impl Fetch for (&Client, &str) {
    async fn read(
        &self,
        file: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Piece, ClientError>> + Send, ClientError> {
        let (client, capture) = self;
        client.read_file(capture, file, offset).await
    }
}

/// The file to download, as the node lists it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its size; for a growing file, a lower bound.
    pub bytes: u64,
    /// Its digest, if the node knows it.
    pub digest: Option<Digest>,
    /// Whether it is still being written.
    pub growing: bool,
}

/// Why a file could not be downloaded.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The node returned an error.
    #[error("{file}: {source}")]
    Node {
        /// The file.
        file: String,
        /// The node's error.
        source: ClientError,
    },
    /// It arrived, twice, with the wrong digest.
    #[error(
        "{file}: its digest is {found} and should be {expected}: the file is damaged on the node"
    )]
    Digest {
        /// The file.
        file: String,
        /// The digest in the node's manifest.
        expected: Digest,
        /// The digest of the received bytes.
        found: Digest,
    },
    /// It cannot be stored.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its name is not a valid file name.
    #[error("the node has a file named {0:?}, which is not a valid file name")]
    Name(String),
}

/// Receives progress.
pub trait Report {
    /// The number of bytes received so far; less than before if the file is restarted.
    fn bytes(&mut self, here: u64);
    /// The connection broke, and is retried.
    fn broke(&mut self, error: &ClientError);
}

/// Downloads a file into a directory, where it gets its name only when it is whole and its digest
/// is right. A part left by an earlier attempt is resumed. Returns the path.
///
/// # Errors
/// See [`DownloadError`]. The bytes received so far are kept.
pub async fn download(
    source: &impl Fetch,
    file: &Wanted,
    directory: &Path,
    retry: Retry,
    report: &mut impl Report,
) -> Result<PathBuf, DownloadError> {
    let name = &file.name;
    if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..") {
        return Err(DownloadError::Name(name.clone()));
    }
    let path = directory.join(name);
    if !file.growing && is_here(&path, file).map_err(at(&path))? {
        report.bytes(file.bytes);
        return Ok(path);
    }
    let algorithm = file.digest.as_ref().map(Digest::algorithm);
    let part = Part::open(directory.join(format!("{name}.part")), algorithm)?;
    let mut part = fill(source, file, part, retry, report).await?;
    if let Some(expected) = &file.digest
        && part.digest().as_ref() != Some(expected)
    {
        // The existing part may be of another file of this name: download once more from the start.
        part.restart()?;
        report.bytes(0);
        part = fill(source, file, part, retry, report).await?;
        if let Some(found) = part.digest()
            && found != *expected
        {
            part.restart()?;
            return Err(DownloadError::Digest {
                file: name.clone(),
                expected: expected.clone(),
                found,
            });
        }
    }
    part.finish(&path)?;
    Ok(path)
}

/// Reads until the file is complete.
async fn fill(
    source: &impl Fetch,
    file: &Wanted,
    mut part: Part,
    retry: Retry,
    report: &mut impl Report,
) -> Result<Part, DownloadError> {
    if part.length > file.bytes && !file.growing {
        part.restart()?;
    }
    report.bytes(part.length);
    let mut failed = 0;
    while file.growing || part.length < file.bytes {
        let before = part.length;
        match read_on(source, file, &mut part, report).await {
            Ok(()) => break,
            Err(DownloadError::Node { source: error, .. }) if error.is_transient() => {
                failed = if part.length > before { 1 } else { failed + 1 };
                let Some(wait) = retry.wait(failed) else {
                    return Err(DownloadError::Node {
                        file: file.name.clone(),
                        source: error,
                    });
                };
                report.broke(&error);
                tokio::time::sleep(wait).await;
            }
            Err(other) => return Err(other),
        }
    }
    Ok(part)
}

/// One attempt.
async fn read_on(
    source: &impl Fetch,
    file: &Wanted,
    part: &mut Part,
    report: &mut impl Report,
) -> Result<(), DownloadError> {
    let failed = |source| DownloadError::Node {
        file: file.name.clone(),
        source,
    };
    let stream = source.read(&file.name, part.length).await.map_err(failed)?;
    let mut stream = pin!(stream);
    while let Some(piece) = stream.next().await {
        match piece.map_err(failed)? {
            Piece::Header(_) => {}
            Piece::Chunk { offset, data } => {
                if offset != part.length {
                    return Err(failed(ClientError::Broken(format!(
                        "bytes from {offset} on arrived where {} was expected",
                        part.length
                    ))));
                }
                part.append(&data)?;
                report.bytes(part.length);
            }
            Piece::End { file_bytes } if file_bytes == part.length || file.growing => {
                return Ok(());
            }
            Piece::End { file_bytes } => {
                return Err(failed(ClientError::Broken(format!(
                    "{} of {file_bytes} bytes came",
                    part.length
                ))));
            }
        }
    }
    Err(failed(ClientError::Broken(
        "the node stopped sending in the middle of a file".to_owned(),
    )))
}

/// Whether an earlier pull has downloaded it already. Without a digest the length decides.
fn is_here(path: &Path, file: &Wanted) -> io::Result<bool> {
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if opened.metadata()?.len() != file.bytes {
        return Ok(false);
    }
    let Some(expected) = &file.digest else {
        return Ok(true);
    };
    Ok(capture_file::digest(&opened, expected.algorithm())? == *expected)
}

/// The received part of a file, and its digest so far.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Option<Hasher>,
}

impl Part {
    fn open(path: PathBuf, digest: Option<DigestAlgorithm>) -> Result<Self, DownloadError> {
        let opened = private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut hasher = digest.map(Hasher::new);
        let (file, length) = opened
            .and_then(|mut file| {
                let length = match &mut hasher {
                    Some(hasher) => hasher.read(&mut file)?,
                    None => file.seek(SeekFrom::End(0))?,
                };
                Ok((file, length))
            })
            .map_err(at(&path))?;
        Ok(Self {
            path,
            file,
            length,
            hasher,
        })
    }

    fn append(&mut self, data: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(data).map_err(at(&self.path))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(data);
        }
        self.length += data.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), DownloadError> {
        let restarted = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        restarted.map_err(at(&self.path))?;
        self.length = 0;
        self.hasher = self.hasher.take().map(|used| Hasher::new(used.algorithm()));
        Ok(())
    }

    fn digest(&self) -> Option<Digest> {
        self.hasher.as_ref().map(Hasher::digest)
    }

    fn finish(self, path: &Path) -> Result<(), DownloadError> {
        self.file.sync_all().map_err(at(&self.path))?;
        fs::rename(&self.path, path).map_err(at(path))?;
        sync_directory_of(path).map_err(|error| DownloadError::Io {
            path: path.to_owned(),
            source: io::Error::other(error),
        })
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    move |source| DownloadError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
