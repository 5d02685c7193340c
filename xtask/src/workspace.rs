//! Where things are.

use std::path::{Path, PathBuf};

/// The top of the checkout.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Cargo's output directory: `target`, or what the user chose instead.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The release build of the recorder.
pub(crate) fn recorder() -> PathBuf {
    target().join("release").join("captured")
}

/// The release build of its client.
pub(crate) fn client() -> PathBuf {
    target().join("release").join("capturectl")
}

/// Whether this is a run whose verdict counts: there, what cannot be checked is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
