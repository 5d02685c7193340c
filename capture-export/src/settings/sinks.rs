//! The settings of one sink, whatever its kind.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    malcolm::MalcolmSettings,
    metrics::Metrics,
    route::Route,
    search::{SearchSettings, SearchSink},
    sink::Sink,
    store::StoreSettings,
};

/// A sink; `type` says of which kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SinkSettings {
    /// Malcolm.
    Malcolm(MalcolmSettings),
    /// Object storage, or a directory.
    Store(StoreSettings),
    /// A search cluster.
    Search(SearchSettings),
}

impl SinkSettings {
    /// The sink that variables alone describe, and its name: a search cluster, if `ELASTIC_URL` is set.
    #[must_use]
    pub fn of_environment() -> Option<(String, Self)> {
        let is_set = std::env::var_os("ELASTIC_URL").is_some_and(|url| !url.is_empty());
        is_set.then(|| {
            (
                "elastic".to_owned(),
                Self::Search(SearchSettings::default()),
            )
        })
    }

    /// What is wrong with it, each beginning with the name of the setting.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Malcolm(settings) => settings.problems(),
            Self::Store(settings) => settings.problems(),
            Self::Search(settings) => settings.problems(),
        }
    }

    /// Makes the sink, which keeps what it remembers in `state`, a directory of its own. Nothing is connected yet.
    ///
    /// # Errors
    /// A file that it names cannot be read, or a value is invalid.
    pub fn open(&self, state: &Path, metrics: &Metrics) -> Result<Arc<dyn Sink>> {
        Ok(match self {
            Self::Malcolm(settings) => Arc::new(settings.open(state)?),
            Self::Store(settings) => Arc::new(settings.open()?),
            Self::Search(settings) => {
                Arc::new(SearchSink::open(settings, state, metrics.search())?)
            }
        })
    }

    /// Certificates, keys and credentials that are read when the sink is made. Other secrets are read for each request.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let files = match self {
            Self::Malcolm(settings) => vec![&settings.cacert],
            Self::Store(settings) => vec![&settings.cacert, &settings.credentials],
            Self::Search(settings) => vec![&settings.cacert, &settings.cert, &settings.key],
        };
        files.into_iter().flatten().cloned().collect()
    }

    /// Which files are for the sink, which has this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Route {
        Route {
            sink: name.to_owned(),
            captures: match self {
                Self::Malcolm(settings) => settings.captures,
                Self::Store(settings) => settings.captures,
                Self::Search(settings) => settings.captures,
            },
        }
    }

    /// The kind, as `type` has it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malcolm(_) => "malcolm",
            Self::Store(_) => "store",
            Self::Search(_) => "search",
        }
    }
}
