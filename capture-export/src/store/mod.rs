//! Object storage as a sink: S3, Azure Blob, Google Cloud Storage, or a directory.
//!
//! For each file there are three objects, in this order: `KEY.sha256`, made only if it does not exist, which
//! claims the name for this content; `KEY`, read back and compared; `KEY.manifest.json`, last. Whoever finds the last
//! one finds a complete file.

mod connect;
mod digests;
mod key;
mod line;
mod open;
mod place;
mod read;
mod settings;
mod transfer;

use std::{
    io::{Seek as _, SeekFrom},
    sync::Arc,
};

use capture_types::Digest;
use futures_util::future::BoxFuture;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, TagSet,
    path::Path,
};

pub use key::segment;
pub use line::ObjectLine;
pub use read::{ReadStoreError, StoreReader};
pub use settings::{StoreSettings, Verify};

use crate::{
    file::FinishedFile,
    redact::Redactor,
    sink::{Failure, NotReady, Progress, Receipt, Sink},
};
use key::Template;

/// The end of the name of the object that claims a name.
pub const CLAIM: &str = ".sha256";
/// The end of the name of the object that is written last.
pub const LINE: &str = ".manifest.json";
/// The size of a part of an upload.
const PART_SIZE: usize = 8 << 20;
/// Longer than any claim.
const LONGEST_CLAIM: u64 = 4096;

/// A store as a sink.
#[derive(Debug)]
pub struct StoreSink {
    store: Arc<dyn ObjectStore>,
    /// The directory, if the store is one: it must exist.
    directory: Option<std::path::PathBuf>,
    /// Whether objects have metadata and tags.
    attributes: bool,
    url: String,
    template: Template,
    tags: TagSet,
    part_size: usize,
    verify: Verify,
    redactor: Redactor,
}

impl Sink for StoreSink {
    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>> {
        Box::pin(async {
            match &self.directory {
                Some(directory) if !directory.is_dir() => Err(NotReady::new(format!(
                    "{} is no directory: make it, or mount it",
                    directory.display()
                ))),
                _ => Ok(()),
            }
        })
    }

    fn deliver<'a>(
        &'a self,
        file: &'a FinishedFile,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.store_file(file, progress))
    }
}

impl StoreSink {
    async fn store_file(
        &self,
        file: &FinishedFile,
        progress: &Progress,
    ) -> Result<Receipt, Failure> {
        let mut opened = file.open().map_err(|error| Failure::of_file(&error))?;
        let mut handle = opened
            .try_clone()
            .map_err(|error| Failure::of_file(&error))?;
        let known = file.entry.digest.as_ref();
        let algorithm = known.map(Digest::algorithm);
        let (digest, found) =
            tokio::task::spawn_blocking(move || digests::read(&mut handle, algorithm))
                .await
                .map_err(|error| Failure::retry(error.to_string()))?
                .map_err(|error| Failure::of_file(&error))?;
        progress.alive();
        if let (Some(known), Some(found)) = (known, found)
            && *known != found
        {
            return Err(Failure::reject(format!(
                "{:?}: its content has digest {found}, and the manifest says {known}: it is damaged",
                file.entry.file
            )));
        }
        opened
            .seek(SeekFrom::Start(0))
            .map_err(|error| Failure::of_file(&error))?;
        let key = self.template.key(file);
        self.claim(&key, &digest).await?;
        let object = Path::from(key.as_str());
        let bytes = file.entry.bytes;
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: self.attributes(file, &digest),
            tags: self.tags.clone(),
            ..PutOptions::default()
        };
        match self.store.head(&object).await {
            Ok(_) => {}
            Err(Error::NotFound { .. }) => {
                let upload = transfer::Upload {
                    store: &self.store,
                    key: &object,
                    part_size: self.part_size,
                    progress,
                };
                upload
                    .run(opened, bytes, options)
                    .await
                    .map_err(|error| self.failure(error))?;
            }
            Err(error) => return Err(self.failure(error.into())),
        }
        self.compare(&object, bytes, &digest, progress).await?;
        let line = ObjectLine::new(file, &key, &digest);
        let text = serde_json::to_vec(&line).map_err(|error| Failure::reject(error.to_string()))?;
        self.store
            .put(&Path::from(format!("{key}{LINE}")), text.into())
            .await
            .map_err(|error| self.failure(error.into()))?;
        Ok(Receipt {
            place: format!("{}/{key}", self.url),
            verified: self.verify == Verify::Content,
        })
    }

    /// Claims a name for a content: no other content can claim it afterwards.
    async fn claim(&self, key: &str, digest: &Digest) -> Result<(), Failure> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let text = format!("{}  {name}\n", digest.hexadecimal());
        let claim = Path::from(format!("{key}{CLAIM}"));
        let options = PutOptions::from(PutMode::Create);
        match self
            .store
            .put_opts(&claim, text.clone().into(), options)
            .await
        {
            Ok(_) => return Ok(()),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(self.failure(error.into())),
        }
        let found = self.store.get(&claim).await;
        let found = found.map_err(|error| self.failure(error.into()))?;
        let found = if found.meta.size > LONGEST_CLAIM {
            Default::default()
        } else {
            found
                .bytes()
                .await
                .map_err(|error| self.failure(error.into()))?
        };
        if found == text.as_bytes() {
            return Ok(());
        }
        Err(Failure::reject(format!(
            "{key} exists in the store with other content, and is not overwritten: give this node or cluster another \
             name, or use another key template or prefix"
        )))
    }

    async fn compare(
        &self,
        key: &Path,
        bytes: u64,
        digest: &Digest,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let found = transfer::read_back(&self.store, key, self.verify, progress);
        let found = found.await.map_err(|error| self.failure(error))?;
        if found.bytes == bytes
            && found
                .digest
                .is_none_or(|found| found == digest.hexadecimal())
        {
            return Ok(());
        }
        Err(Failure::reject(format!(
            "{key} has other content in the store than the file: somebody else wrote it, and it is not overwritten"
        )))
    }

    fn attributes(&self, file: &FinishedFile, digest: &Digest) -> Attributes {
        let mut attributes = Attributes::new();
        if !self.attributes {
            return attributes;
        }
        let entry = &file.entry;
        let time = |time: &Option<capture_file::manifest::Timestamp>| {
            time.as_ref().map(|time| time.utc.clone())
        };
        let values = [
            ("sha256", Some(digest.hexadecimal().to_owned())),
            ("packets", entry.packets.map(|packets| packets.to_string())),
            ("first", time(&entry.first)),
            ("last", time(&entry.last)),
            ("capture", Some(key::segment(&file.capture))),
            ("node", Some(key::segment(&file.origin.node))),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                attributes.insert(Attribute::Metadata(name.into()), value.into());
            }
        }
        attributes
    }

    fn failure(&self, error: transfer::TransferError) -> Failure {
        match error {
            transfer::TransferError::File(error) => Failure::of_file(&error),
            transfer::TransferError::Store(error) => self.refused(&error),
        }
    }

    /// What an error of the store means for the file.
    fn refused(&self, error: &Error) -> Failure {
        let text = self.redactor.error(error);
        match error {
            Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. } => Failure::reject(text),
            Error::NotFound { .. } => Failure::retry(format!("{text}; does the bucket exist?")),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Failure::retry(
                format!("{text}; check the credentials and what they permit"),
            ),
            _ => Failure::retry(text),
        }
    }
}
