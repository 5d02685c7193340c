//! Bytes to the store and back, in parts, so that memory is bounded whatever the size of a file.

use std::{
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
    path::Path,
};
use sha2::{Digest as _, Sha256};

use super::Verify;
use crate::sink::Progress;

/// Parts that are in flight at once. With one that is read, memory is this many parts and one.
const IN_FLIGHT: usize = 2;
/// Parts that S3 takes.
const MOST_PARTS: u64 = 10_000;

/// Either side can fail.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    /// The local file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] Error),
}

/// An upload of one file.
pub(super) struct Upload<'a> {
    pub(super) store: &'a Arc<dyn ObjectStore>,
    pub(super) key: &'a Path,
    pub(super) part_size: usize,
    pub(super) progress: &'a Progress,
}

impl Upload<'_> {
    /// Uploads a file of this size; in one request, if it has one part only.
    ///
    /// # Errors
    /// The file or the store fails. An object that exists already is no error.
    pub(super) async fn run(
        &self,
        file: File,
        bytes: u64,
        options: PutOptions,
    ) -> Result<(), TransferError> {
        // Only a file of more than 80 GiB needs larger parts.
        let least = usize::try_from(bytes.div_ceil(MOST_PARTS)).unwrap_or(usize::MAX);
        let mut parts = Parts {
            file: Some(file),
            part_size: self.part_size.max(least),
        };
        if bytes <= self.part_size as u64 {
            let whole = parts.next().await?;
            let put = self.store.put_opts(self.key, whole.into(), options).await;
            self.progress.add(bytes);
            return match put {
                // Somebody was faster; the content is compared afterwards.
                Err(Error::AlreadyExists { .. }) => Ok(()),
                other => Ok(other.map(drop)?),
            };
        }
        let options = PutMultipartOptions {
            tags: options.tags,
            attributes: options.attributes,
            ..PutMultipartOptions::default()
        };
        let mut upload = self.store.put_multipart_opts(self.key, options).await?;
        let sent = self.send(&mut parts, upload.as_mut()).await;
        match sent {
            Ok(()) => {
                upload.complete().await?;
                Ok(())
            }
            Err(error) => {
                // Parts without an object would be paid for ever.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        parts: &mut Parts,
        upload: &mut dyn object_store::MultipartUpload,
    ) -> Result<(), TransferError> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            let part = parts.next().await?;
            if part.is_empty() {
                break;
            }
            let bytes = part.len() as u64;
            let sent = upload.put_part(part.into());
            in_flight.push(async move { sent.await.map(|()| bytes) });
            if in_flight.len() == IN_FLIGHT
                && let Some(sent) = in_flight.next().await
            {
                self.progress.add(sent?);
            }
        }
        while let Some(sent) = in_flight.next().await {
            self.progress.add(sent?);
        }
        Ok(())
    }
}

/// The parts of a file, read on threads that may block.
struct Parts {
    file: Option<File>,
    part_size: usize,
}

impl Parts {
    /// The next part; empty at the end.
    async fn next(&mut self) -> io::Result<Bytes> {
        let (Some(mut file), size) = (self.file.take(), self.part_size) else {
            return Ok(Bytes::new());
        };
        let read = move || {
            let mut part = Vec::with_capacity(size);
            Read::by_ref(&mut file)
                .take(size as u64)
                .read_to_end(&mut part)?;
            io::Result::Ok((file, part))
        };
        let (file, part) = tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)??;
        self.file = Some(file);
        Ok(part.into())
    }
}

/// What an object has.
pub(super) struct Found {
    pub(super) bytes: u64,
    /// The SHA-256 of its content, if that was read.
    pub(super) digest: Option<String>,
}

/// Bytes that are read back by one request.
const PIECE: u64 = 8 << 20;

/// Asks for the size of an object, and reads its content.
///
/// # Errors
/// The store fails, or the object changes meanwhile.
pub(super) async fn read_back(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
    verify: Verify,
    progress: &Progress,
) -> Result<Found, TransferError> {
    let meta = store.head(key).await?;
    let bytes = meta.size;
    if verify == Verify::Size {
        return Ok(Found {
            bytes,
            digest: None,
        });
    }
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < bytes {
        let end = bytes.min(at + PIECE);
        let options = GetOptions {
            range: Some((at..end).into()),
            if_match: meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let piece = store.get_opts(key, options).await?.bytes().await?;
        if piece.len() as u64 != end - at {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the store answered with {} bytes of {}",
                    piece.len(),
                    end - at
                ),
            )
            .into());
        }
        hash.update(&piece);
        at = end;
        progress.alive();
    }
    Ok(Found {
        bytes,
        digest: Some(capture_file::hex(&hash.finalize())),
    })
}
