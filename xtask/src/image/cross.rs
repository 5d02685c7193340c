//! The toolchain for programs of an image: the machine's own, or one for another architecture.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use capture_image::Architecture;

use crate::build::{self, Target};
use crate::command::{cargo, command, output, run};
use crate::packages;
use crate::workspace::{self, Profile};

/// Runs programs of arm64.
const QEMU: &str = "qemu-aarch64-static";

/// The toolchain of an architecture.
pub(super) struct Toolchain {
    architecture: Architecture,
    /// Libraries of another architecture, unpacked and not installed.
    sysroot: Option<PathBuf>,
}

impl Toolchain {
    /// Installs missing tools to build for an architecture.
    pub(super) fn prepare(architecture: Architecture) -> Result<Self> {
        let native = Architecture::native()?;
        if architecture == native {
            return Ok(Self {
                architecture,
                sysroot: None,
            });
        }
        if (native, architecture) != (Architecture::Amd64, Architecture::Arm64) {
            bail!(
                "images for {} are cross-built on amd64 alone",
                architecture.name()
            );
        }
        packages::install_named(&[
            ("gcc-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-gcc"),
            ("qemu-user-static", "/usr/bin/qemu-aarch64-static"),
        ])?;
        let toolchain = Self {
            architecture,
            sysroot: Some(sysroot(architecture)?),
        };
        run(command("rustup").args(["target", "add", toolchain.triple()]))?;
        Ok(toolchain)
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
    pub(super) fn libraries(&self) -> Vec<PathBuf> {
        let Some(sysroot) = &self.sysroot else {
            return Vec::new();
        };
        let name = self.architecture.multiarch();
        ["usr/lib", "lib"]
            .map(|directory| sysroot.join(directory).join(name))
            .to_vec()
    }

    /// The program that strips debug information.
    pub(super) fn strip(&self) -> String {
        match self.sysroot {
            None => "strip".to_owned(),
            Some(_) => format!("{}-strip", self.architecture.multiarch()),
        }
    }

    /// Builds the programs of these packages.
    pub(super) fn build(&self, profile: Profile, packages: &[&str]) -> Result<()> {
        build::packages(profile, self.target().as_ref(), packages)
    }

    /// Runs the unit tests of these packages.
    pub(super) fn test(&self, packages: &[&str]) -> Result<()> {
        let mut cargo = cargo();
        cargo.args(["test", "--locked", "--lib"]);
        cargo.args(["--profile", workspace::TEST_PROFILE]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        if let (Some(target), Some(sysroot)) = (self.target(), &self.sysroot) {
            let upper = target.triple.to_uppercase().replace('-', "_");
            let runner = format!("{QEMU} -L {}", sysroot.display());
            cargo.args(["--target", target.triple]);
            cargo.envs(target.environment);
            cargo.env(format!("CARGO_TARGET_{upper}_RUNNER"), runner);
        }
        run(&mut cargo)
    }

    fn target(&self) -> Option<Target> {
        let sysroot = self.sysroot.as_ref()?;
        let name = self.architecture.multiarch();
        let upper = self.triple().to_uppercase().replace('-', "_");
        let libraries = sysroot.join("usr/lib").join(name);
        // The linker finds libraries of libraries, and what the C library's linker script names, in there too.
        let flags = format!(
            "-L native={0} -C link-arg=--sysroot={2} -C link-arg=-Wl,-rpath-link,{0} -C link-arg=-Wl,-rpath-link,{1}",
            libraries.display(),
            sysroot.join("lib").join(name).display(),
            sysroot.display()
        );
        let environment = [
            (
                format!("CARGO_TARGET_{upper}_LINKER"),
                format!("{name}-gcc").into(),
            ),
            (format!("CARGO_TARGET_{upper}_RUSTFLAGS"), flags.into()),
            (
                format!("CC_{}", self.triple().replace('-', "_")),
                format!("{name}-gcc").into(),
            ),
            // The cross compiler brings no headers of the C library.
            (
                format!("CFLAGS_{}", self.triple().replace('-', "_")),
                format!("--sysroot={}", sysroot.display()).into(),
            ),
            ("PKG_CONFIG_SYSROOT_DIR".to_owned(), sysroot.clone().into()),
            (
                "PKG_CONFIG_LIBDIR".to_owned(),
                libraries.join("pkgconfig").into(),
            ),
            ("LIBPCAP_LIBDIR".to_owned(), libraries.into()),
            // Otherwise the library would be loaded to ask for its version.
            ("LIBPCAP_VER".to_owned(), "1.10.0".into()),
        ];
        Some(Target {
            triple: self.triple(),
            environment: environment.into(),
        })
    }

    /// The path of a built program.
    pub(super) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        let target = workspace::target();
        match self.sysroot {
            None => target.join(profile.name()).join(name),
            Some(_) => target.join(self.triple()).join(profile.name()).join(name),
        }
    }

    /// What a program of another architecture says with `--version`, under qemu.
    pub(super) fn try_out(&self, profile: Profile, name: &str) -> Result<Option<String>> {
        let Some(sysroot) = &self.sysroot else {
            return Ok(None);
        };
        let mut qemu = command(QEMU);
        qemu.arg("-L").arg(sysroot);
        let said = output(qemu.arg(self.program(profile, name)).arg("--version"))?;
        Ok(Some(said.trim().to_owned()))
    }
}

/// Packages with what the programs are linked with.
const LIBRARIES: [&str; 4] = ["libpcap-dev", "libzstd-dev", "libc6", "libgcc-s1"];

/// [`LIBRARIES`] for another architecture and all that they need, from the machine's package sources. Nothing is
/// installed.
fn sysroot(architecture: Architecture) -> Result<PathBuf> {
    let directory = workspace::cache()?.join(format!("sysroot-{}", architecture.name()));
    let root = directory.join("root");
    let ready = directory.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|unpacked| unpacked == LIBRARIES.join(" ")) {
        return Ok(root);
    }
    for name in ["lists/partial", "cache/archives/partial", "root"] {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    let status = directory.join("status");
    fs::write(&status, "")?;
    let apt = |words: &[&str]| {
        let mut apt = command("apt-get");
        apt.arg("-qq");
        for option in [
            format!("APT::Architecture={}", architecture.name()),
            format!("APT::Architectures={}", architecture.name()),
            format!("Dir::State::lists={}/lists", directory.display()),
            format!("Dir::State::status={}", status.display()),
            format!("Dir::Cache={}/cache", directory.display()),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "Debug::NoLocking=1".to_owned(),
        ] {
            apt.args(["-o", &option]);
        }
        apt.args(words);
        apt
    };
    run(&mut apt(&["update"]))?;
    run(apt(&["--download-only", "--yes", "install"]).args(LIBRARIES))?;
    unpack(&directory.join("cache/archives"), &root)?;
    fs::write(ready, LIBRARIES.join(" "))?;
    Ok(root)
}

fn unpack(archives: &Path, root: &Path) -> Result<()> {
    let mut count = 0;
    for entry in fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(command("dpkg-deb").arg("-x").arg(&path).arg(root))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("apt-get downloaded nothing into {}", archives.display());
    }
    Ok(())
}
