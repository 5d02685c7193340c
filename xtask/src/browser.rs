//! What the tests of the web page need beside Chromium: a program that drives it, and one that checks accessibility.

use std::path::PathBuf;

use anyhow::Result;

use crate::npm::Package;

/// Drives an installed Chromium; without a browser of its own.
const PLAYWRIGHT: Package = Package {
    package: "playwright-core@1.65.1",
    directory: "playwright-core-1.65.1",
    program: "node_modules/playwright-core/index.mjs",
    reason: "drives Chromium in tests of the web page",
};
const AXE: Package = Package {
    package: "axe-core@4.14.1",
    directory: "axe-core-4.14.1",
    program: "node_modules/axe-core/axe.min.js",
    reason: "checks the accessibility of the web page",
};

/// Installs both unless these versions are there.
pub(crate) fn install() -> Result<()> {
    PLAYWRIGHT.install()?;
    AXE.install()
}

/// The variables by which the tests find them.
pub(crate) fn variables() -> Result<[(&'static str, PathBuf); 2]> {
    Ok([
        ("CAPTURE_TEST_BROWSER_PLAYWRIGHT", PLAYWRIGHT.program()?),
        ("CAPTURE_TEST_BROWSER_AXE", AXE.program()?),
    ])
}
