//! The configuration file: contexts, each with its nodes and how to reach them.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use crate::settings::Layer;

/// Why the file, or a context of it, cannot be used.
#[derive(Debug, Error)]
pub enum ContextError {
    /// The file cannot be read.
    #[error("configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not valid.
    #[error("configuration file {}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// The file has no context of that name.
    #[error("there is no context {name:?} in {}: it has {known}", path.display())]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names in the file, or "none".
        known: String,
        /// The file.
        path: PathBuf,
    },
}

/// A configuration file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContextFile {
    /// The context used when none is named.
    pub current_context: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Layer>,
}

impl ContextFile {
    /// Reads the file. A missing file counts as empty, unless `required`.
    ///
    /// # Errors
    /// It cannot be read, is not TOML, or has an unknown key.
    pub fn read(path: &Path, required: bool) -> Result<Self, ContextError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(ContextError::Unreadable {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        toml::from_str(&text).map_err(|error| ContextError::Invalid {
            path: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
        })
    }

    /// The settings of the named context, or else of the current one; empty settings if there is neither.
    /// `path` is the file, for the error.
    ///
    /// # Errors
    /// The file has no context of that name.
    pub fn context(&self, name: Option<&str>, path: &Path) -> Result<Layer, ContextError> {
        let Some(name) = name.or(self.current_context.as_deref()) else {
            return Ok(Layer::default());
        };
        self.contexts.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            ContextError::Unknown {
                name: name.to_owned(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                },
                path: path.to_owned(),
            }
        })
    }
}

/// `$XDG_CONFIG_HOME/capturectl/config.toml`, or `~/.config/capturectl/config.toml`.
#[must_use]
pub fn default_path() -> PathBuf {
    let base = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        // The XDG specification: a relative path is to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/etc"));
    base.join("capturectl/config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_context_is_named_with_those_there_are() {
        let file: ContextFile = toml::from_str(
            "current-context = 'lab'\ncontexts.lab.nodes = ['a:1']\ncontexts.here.socket = '/s'",
        )
        .unwrap();
        let path = Path::new("config.toml");
        assert_eq!(file.context(None, path).unwrap().nodes, ["a:1"]);
        let here = file.context(Some("here"), path).unwrap();
        assert_eq!(here.socket, Some(PathBuf::from("/s")));
        let error = file.context(Some("lap"), path).unwrap_err().to_string();
        assert!(error.contains("here, lab"), "{error}");
        let empty = ContextFile::default();
        assert_eq!(empty.context(None, path).unwrap(), Layer::default());
    }

    #[test]
    fn unknown_keys_are_rejected() {
        for text in [
            "contexts.a.node = ['x:1']",
            "current = 'a'",
            "contexts.a.insecure = 'yes'",
        ] {
            assert!(toml::from_str::<ContextFile>(text).is_err(), "{text}");
        }
    }
}
