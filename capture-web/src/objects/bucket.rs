//! Files of tasks in object storage: `PREFIX/ID/input/0`, `PREFIX/ID/attempt-1/report.json`. An object appears when
//! its last part was accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath,
};
use tokio::io::AsyncReadExt as _;

use super::{Found, Key, ObjectError, ObjectReader, attempt_name, attempt_number, is_id};

/// Parts that are sent at once: with parts of 5 MiB this bounds the memory of an upload.
const PARTS: usize = 2;
const READ_BYTES: usize = 256 << 10;

/// Object storage with the files of tasks.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

impl Bucket {
    /// Uses a store below a prefix, which may be empty.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            store,
            prefix: ObjectPath::from(prefix),
        }
    }

    fn path(&self, key: &Key) -> ObjectPath {
        key.parts()
            .into_iter()
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    pub(super) async fn create(&self, key: &Key) -> Result<Writer, ObjectError> {
        let upload = self.store.put_multipart(&self.path(key)).await;
        let upload = upload.map_err(|error| failed(key, &error))?;
        Ok(Writer {
            key: key.to_string(),
            upload: Some(WriteMultipart::new(upload)),
        })
    }

    pub(super) async fn store(&self, key: &Key, file: &Path) -> Result<(), ObjectError> {
        let mut file = tokio::fs::File::open(file)
            .await
            .map_err(|error| ObjectError::io(key, &error))?;
        let mut writer = self.create(key).await?;
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(READ_BYTES);
            let read = file.read_buf(&mut buffer).await;
            if read.map_err(|error| ObjectError::io(key, &error))? == 0 {
                return writer.finish().await;
            }
            writer.write(buffer.freeze()).await?;
        }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<ObjectReader, ObjectError> {
        let found = self.store.get(&self.path(key)).await;
        let found = found.map_err(|error| failed(key, &error))?;
        let key = key.to_string();
        Ok(ObjectReader {
            bytes: found.meta.size,
            stream: found
                .into_stream()
                .map(move |bytes| bytes.map_err(|error| failed(&key, &error)))
                .boxed(),
        })
    }

    pub(super) async fn local(&self, key: &Key, scratch: &Path) -> Result<PathBuf, ObjectError> {
        let path = scratch.join(key.parts()[1..].join("-"));
        let at = |error: std::io::Error| ObjectError::io(key, &error);
        let mut file = tokio::fs::File::create(&path).await.map_err(at)?;
        let mut reader = self.read(key).await?;
        while let Some(bytes) = reader.stream.try_next().await? {
            tokio::io::AsyncWriteExt::write_all(&mut file, &bytes)
                .await
                .map_err(at)?;
        }
        tokio::io::AsyncWriteExt::flush(&mut file)
            .await
            .map_err(at)?;
        Ok(path)
    }

    pub(super) async fn remove_attempt(&self, task: &str, attempt: i64) -> Result<(), ObjectError> {
        let name = attempt_name(attempt);
        self.remove_where(task, |part| part == name).await
    }

    pub(super) async fn remove(&self, task: &str) -> Result<(), ObjectError> {
        self.remove_where(task, |_| true).await
    }

    /// Removes a task's files in directories of these names.
    async fn remove_where(
        &self,
        task: &str,
        which: impl Fn(&str) -> bool,
    ) -> Result<(), ObjectError> {
        let below = self.prefix.clone().join(task);
        let mut objects = self.store.list(Some(&below));
        while let Some(object) = objects.next().await {
            let location = object.map_err(|error| failed(task, &error))?.location;
            let directory = location
                .prefix_match(&below)
                .and_then(|mut parts| parts.next().map(|part| part.as_ref().to_owned()));
            if directory.is_some_and(|name| which(&name)) {
                match self.store.delete(&location).await {
                    Ok(()) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(failed(task, &error)),
                }
            }
        }
        Ok(())
    }

    pub(super) async fn tasks(&self) -> Result<Vec<Found>, ObjectError> {
        let mut found: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        let mut objects = self.store.list(Some(&self.prefix));
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| failed("files", &error))?;
            let Some(mut parts) = object.location.prefix_match(&self.prefix) else {
                continue;
            };
            let mut next = || parts.next().map(|part| part.as_ref().to_owned());
            if let Some(id) = next().filter(|id| is_id(id)) {
                let attempt = next().as_deref().and_then(attempt_number);
                found.entry(id).or_default().extend(attempt);
            }
        }
        Ok(found
            .into_iter()
            .map(|(id, attempts)| Found {
                id,
                attempts: attempts.into_iter().collect(),
            })
            .collect())
    }

    pub(super) async fn ping(&self) -> Result<(), ObjectError> {
        match self.store.list(Some(&self.prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(failed("object storage", &error)),
        }
    }
}

fn failed(key: impl std::fmt::Display, error: &Error) -> ObjectError {
    match error {
        Error::NotFound { .. } => ObjectError::Missing(key.to_string()),
        _ => ObjectError::Failed {
            key: key.to_string(),
            problem: error.to_string(),
        },
    }
}

/// An object that is being sent. Dropped before its end, its parts are given up.
pub struct Writer {
    key: String,
    upload: Option<WriteMultipart>,
}

impl Writer {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        if let Some(upload) = &mut self.upload {
            let room = upload.wait_for_capacity(PARTS).await;
            room.map_err(|error| failed(&self.key, &error))?;
            upload.put(bytes);
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), ObjectError> {
        if let Some(upload) = self.upload.take() {
            let stored = upload.finish().await;
            stored.map_err(|error| failed(&self.key, &error))?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let key = std::mem::take(&mut self.key);
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!("{key}: giving its upload up: {error}");
                }
            });
        }
    }
}
