//! Programs from npm packages, each version in a directory of its own in the user's cache.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::workspace;

/// A package with a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Its name and version, as `name@1.2.3`.
    pub(crate) package: &'static str,
    /// The directory that it is installed into.
    pub(crate) directory: &'static str,
    /// The program, from that directory on.
    pub(crate) program: &'static str,
    /// What it is for, as in "buf, which checks the API".
    pub(crate) reason: &'static str,
}

impl Package {
    /// Installs the package unless this version is there.
    pub(crate) fn install(self) -> Result<()> {
        if self.program()?.is_file() {
            return Ok(());
        }
        let directory = self.directory()?;
        eprintln!(
            "set-up: installing {}, which {}, into {}",
            self.package,
            self.reason,
            directory.display()
        );
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        // Without scripts: the packages contain their programs, which only have to be unpacked.
        run(command("npm")
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-save",
                "--prefix",
            ])
            .arg(&directory)
            .arg(self.package))
    }

    /// Where it is installed.
    pub(crate) fn directory(self) -> Result<PathBuf> {
        Ok(workspace::cache()?.join("tools").join(self.directory))
    }

    /// The path of the installed program.
    pub(crate) fn program(self) -> Result<PathBuf> {
        Ok(self.directory()?.join(self.program))
    }
}
