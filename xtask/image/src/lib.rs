//! Creates container images from files of this machine as OCI archives, which `ctr images import` or `podman
//! load` accept.
//!
//! An image contains only the given files: no distribution, no shell. The same input gives the same bytes:
//! owners are 0:0, times are 0, entries are sorted.

mod libraries;
mod oci;
mod tree;

pub use libraries::{Library, LibraryPath};
pub use oci::{Image, sha256};
pub use tree::Tree;

use anyhow::{Result, bail};

/// A processor architecture of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// The architecture of this program.
    ///
    /// # Errors
    /// Images are not supported for this architecture.
    pub fn native() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("images are not supported on {other}, only on x86_64 and aarch64"),
        }
    }

    /// Its name in image indexes and in Debian.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Its name in Debian's library directories.
    #[must_use]
    pub fn multiarch(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }
}
