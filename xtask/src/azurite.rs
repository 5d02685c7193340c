//! Azurite, an emulator of Azure Blob storage, for the tests of the exporter.

use std::path::PathBuf;

use anyhow::Result;

use crate::npm::Package;

const AZURITE: Package = Package {
    package: "azurite@3.35.0",
    directory: "azurite-3.35.0",
    program: "node_modules/azurite/dist/src/blob/main.js",
    reason: "is Azure Blob storage to test with",
};

/// Installs it unless this version is there.
pub(crate) fn install() -> Result<()> {
    AZURITE.install()
}

/// The variable by which the tests find it.
pub(crate) fn variable() -> Result<(&'static str, PathBuf)> {
    Ok(("CAPTURE_TEST_AZURITE", AZURITE.program()?))
}
