//! From settings to a sink or a reader.

use anyhow::Result;

use super::{
    PART_SIZE, StoreReader, StoreSink,
    connect::{Connected, connect},
    settings::StoreSettings,
};

impl StoreSettings {
    /// Makes a reader of what is in the store below the URL's prefix.
    ///
    /// # Errors
    /// A setting is wrong, or a file that it names cannot be read.
    pub fn reader(&self) -> Result<StoreReader> {
        let connected = connect(self)?;
        Ok(StoreReader {
            store: connected.store,
            prefix: object_store::path::Path::from(connected.place.prefix.as_str()),
            redactor: connected.redactor,
        })
    }

    /// Makes the sink.
    ///
    /// # Errors
    /// A setting is wrong, or a file that it names cannot be read.
    pub fn open(&self) -> Result<StoreSink> {
        let Connected {
            store,
            place,
            directory,
            redactor,
        } = connect(self)?;
        let mut tags = object_store::TagSet::default();
        for (name, value) in &self.tags {
            tags.push(name, value);
        }
        let template = self
            .template(&place)
            .map_err(|reason| anyhow::anyhow!("key: {reason}"))?;
        Ok(StoreSink {
            store,
            attributes: directory.is_none(),
            directory,
            url: place.root,
            template,
            tags,
            part_size: PART_SIZE,
            verify: self.verify,
            redactor,
        })
    }
}
