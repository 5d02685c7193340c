//! What a person asks of a running exporter: files in its state directory, which it reads, acts upon and removes.
//! They survive a restart, and nothing listens on the network for them.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{checkpoint, file::open_regular};

/// Larger than any request.
const LARGEST: u64 = 16 << 10;
/// Requests that are read at once.
const MOST: usize = 1000;
/// The end of the names of requests.
const SUFFIX: &str = ".request.json";

/// A request about one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The sink's name.
    pub sink: String,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Let files that were put aside wait again, and try at once.
    Retry {
        /// Only the file of this name.
        file: Option<String>,
    },
    /// Put a file aside.
    Skip {
        /// Its name.
        file: String,
        /// Why.
        reason: String,
    },
}

/// Leaves a request.
///
/// # Errors
/// The state directory cannot be written.
pub fn leave(state_dir: &Path, request: &Request) -> io::Result<()> {
    let number = getrandom::u64().map_err(io::Error::other)?;
    let path = state_dir.join(format!("{}.{number:016x}{SUFFIX}", request.sink));
    let text = serde_json::to_vec(request).map_err(io::Error::other)?;
    checkpoint::replace(&path, &text)
}

/// The requests about a sink, with their files, which are removed once the requests are done.
#[must_use]
pub fn of(state_dir: &Path, sink: &str) -> Vec<(PathBuf, Action)> {
    let Ok(entries) = std::fs::read_dir(state_dir) else {
        return Vec::new();
    };
    let prefix = format!("{sink}.");
    let mut paths: Vec<_> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&prefix) && name.ends_with(SUFFIX)
        })
        .map(|entry| entry.path())
        .take(MOST)
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let mut text = Vec::new();
        let read = open_regular(&path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        match read.map(|_| serde_json::from_slice::<Request>(&text)) {
            Ok(Ok(request)) if request.sink == sink => found.push((path, request.action)),
            Ok(_) => {
                tracing::warn!(
                    "{}: it is no request about {sink}, and is removed",
                    path.display()
                );
                // Else it would be reported again and again.
                let _ = std::fs::remove_file(&path);
            }
            Err(error) => tracing::warn!("{}: {error}", path.display()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Action, Request, leave, of};

    #[test]
    fn a_request_reaches_the_sink_it_is_about_and_damage_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let action = Action::Skip {
            file: "a-1".to_owned(),
            reason: "not needed".to_owned(),
        };
        let request = Request {
            sink: "a".to_owned(),
            action: action.clone(),
        };
        leave(directory.path(), &request).unwrap();
        let damaged = directory.path().join("a.1.request.json");
        std::fs::write(&damaged, "{").unwrap();
        assert!(of(directory.path(), "b").is_empty());
        let found = of(directory.path(), "a");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, action);
        assert!(!damaged.exists());
    }
}
