//! Which files are for which sink.

use serde::{Deserialize, Serialize};

use crate::file::FinishedFile;

/// The captures whose files a sink gets besides those of captures that name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Captures {
    /// Those that name no sink.
    #[default]
    All,
    /// None.
    Named,
}

impl Captures {
    /// For serde: whether it is the default.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// Which files are for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name of the sink.
    pub sink: String,
    /// The captures that it gets besides.
    pub captures: Captures,
}

impl Route {
    /// Whether a file is for the sink: its capture names the sink, or names none and the sink gets all of those.
    #[must_use]
    pub fn takes(&self, file: &FinishedFile) -> bool {
        let named = file.of.as_ref().map(|capture| capture.export.as_slice());
        match named.unwrap_or_default() {
            [] => self.captures == Captures::All,
            named => named.iter().any(|name| name.as_str() == self.sink),
        }
    }
}
