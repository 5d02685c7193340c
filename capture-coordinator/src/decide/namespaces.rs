//! Whose packets a node's capture has: the namespaces of all pods that it has ever had, which a label of the capture
//! keeps. Files are for those who may read these pods, whatever the resource selects today.

use std::collections::BTreeSet;

use capture_client::model::{Capture, Spec, Time};

/// The namespaces; missing on captures of earlier versions.
pub(super) const LABEL_NAMESPACES: &str = "packetcaptureconfig.namespaces";
/// Nanoseconds since 1970 at which the first capture of the resource was requested here, if this is a later one.
pub(super) const LABEL_SINCE: &str = "packetcaptureconfig.since";

/// The value of the label for all namespaces, which is no name of one.
const ANY: &str = "*";
/// Maximum bytes of a label's value.
const LONGEST: usize = 255;

/// Namespaces whose pods' packets may be in a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// All of them, or unknown ones.
    Any,
    /// These.
    Of(BTreeSet<String>),
}

impl Namespaces {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self::Of(BTreeSet::new())
    }

    /// Those of the pods that a capture has now.
    #[must_use]
    pub fn now(spec: &Spec) -> Self {
        match &spec.pods {
            Some(selection) => {
                let pods = selection.pods.iter();
                Self::Of(pods.map(|pod| pod.namespace.clone()).collect())
            }
            // An address may belong to any pod.
            None => Self::Any,
        }
    }

    /// Those that a capture has had since its start.
    #[must_use]
    pub fn ever(capture: &Capture) -> Self {
        let now = Self::now(&capture.spec);
        match capture.labels.get(LABEL_NAMESPACES) {
            Some(label) => Self::of_label(label).and(now),
            None => Self::Any,
        }
    }

    fn of_label(label: &str) -> Self {
        if label == ANY {
            return Self::Any;
        }
        let names = label.split(',').filter(|name| !name.is_empty());
        Self::Of(names.map(str::to_owned).collect())
    }

    /// The value of the label.
    pub(super) fn label(&self) -> String {
        let Self::Of(names) = self else {
            return ANY.to_owned();
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let label = names.join(",");
        if label.len() <= LONGEST {
            label
        } else {
            ANY.to_owned()
        }
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut one), Self::Of(other)) => {
                one.extend(other);
                Self::Of(one)
            }
            _ => Self::Any,
        }
    }
}

/// When the first capture of the same resource was requested on the node, as the value of the label.
pub(super) fn since_label(capture: &Capture) -> String {
    let label = capture.labels.get(LABEL_SINCE).cloned();
    label.unwrap_or_else(|| {
        let created = capture.create_time.map(Time::into_duration);
        created.map_or_else(String::new, |time| time.as_nanos().to_string())
    })
}

/// What tells whether a file on a node is one of a capture, or of an earlier one of the same name.
#[derive(Debug, Clone, Copy)]
pub struct OwnFile<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its sequence number, which continues from one capture of a name to the next.
    pub sequence: u64,
    /// The latest time in it, nanoseconds since 1970.
    pub last: Option<u64>,
}

/// The lowest sequence number of the files that captures of the resource have written on the node; `None` if there is
/// none yet. Files before it are of earlier resources of the name, which may have captured anything.
pub fn first_own<'a>(
    capture: &Capture,
    files: impl IntoIterator<Item = OwnFile<'a>>,
) -> Option<u64> {
    let since = since_label(capture).parse::<u64>().ok();
    let is_own = |file: &OwnFile<'_>| {
        let is_later = since.is_some_and(|since| file.last.is_some_and(|last| last >= since));
        is_later || capture.current_file.as_deref() == Some(file.name)
    };
    let own = files.into_iter().filter(is_own);
    own.map(|file| file.sequence).min()
}
