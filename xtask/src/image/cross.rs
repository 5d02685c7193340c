//! The toolchain for programs of an image: the machine's own, or one for another architecture.

use std::path::PathBuf;

use anyhow::{Result, bail};
use capture_image::Architecture;

use crate::build;
use crate::workspace::{self, Profile};

use super::packages;

/// The toolchain of an architecture.
pub(super) struct Toolchain {
    architecture: Architecture,
    is_native: bool,
    libraries: Vec<PathBuf>,
}

impl Toolchain {
    /// Installs missing tools to build for an architecture.
    pub(super) fn prepare(architecture: Architecture) -> Result<Self> {
        if architecture != Architecture::native()? {
            bail!("cross-building is not supported yet");
        }
        Ok(Self {
            architecture,
            is_native: true,
            libraries: Vec::new(),
        })
    }

    pub(super) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Rust's name of the target.
    pub(super) fn triple(&self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "x86_64-unknown-linux-gnu",
            Architecture::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Directories with libraries, before the usual ones.
    pub(super) fn libraries(&self) -> &[PathBuf] {
        &self.libraries
    }

    /// The program that strips debug information.
    pub(super) fn strip(&self) -> String {
        if self.is_native {
            return "strip".to_owned();
        }
        format!("{}-strip", self.architecture.multiarch())
    }

    /// Builds the programs of all images.
    pub(super) fn build(&self, profile: Profile) -> Result<()> {
        build::packages(profile, None, &packages())
    }

    /// The path of a built program.
    pub(super) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        let target = workspace::target();
        if self.is_native {
            return target.join(profile.name()).join(name);
        }
        target.join(self.triple()).join(profile.name()).join(name)
    }
}
