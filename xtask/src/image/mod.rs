//! Container images of the programs, as OCI archives with a bill of materials: no container engine, no registry.

mod bill;
mod cross;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use capture_image::{Architecture, Image, Library, LibraryPath, Tree};
use clap::ValueEnum;

use crate::command::{command, run};
use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::workspace::{self, Profile};
use crate::{build, setup};
use cross::Toolchain;

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask image                      into target/images, for this machine's architecture
  cargo xtask image --dist               as releases are: smaller and faster, and minutes longer to build
  cargo xtask image --arch arm64         cross-built, and tried under qemu
  cargo xtask image --arch arm64 --tests  also the unit tests that run under qemu
  ctr -n k8s.io images import target/images/captured-amd64.tar";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build as for releases, with link-time optimization
    #[arg(long)]
    dist: bool,
    /// Architecture of the images [default: this machine's architecture]
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Write the files of each image as a plain tar archive, too, as deploy/Dockerfile needs them
    #[arg(long)]
    files: bool,
    /// Run unit tests for this architecture, under qemu if it is another one
    #[arg(long)]
    tests: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arch {
    Amd64,
    Arm64,
}

/// An image and its content.
struct Contents {
    name: &'static str,
    description: &'static str,
    /// Packages of the workspace, and the program of each.
    programs: &'static [(&'static str, &'static str)],
    /// The user, which Kubernetes can override.
    user: &'static str,
    /// Files of the machine that the programs read.
    files: &'static [&'static str],
    /// Mount points.
    directories: &'static [&'static str],
}

const CONTENTS: [Contents; 4] = [
    Contents {
        name: "captured",
        description: "Records packets of a node; with its client capturectl",
        programs: &[
            ("capture-daemon", "captured"),
            ("capture-cli", "capturectl"),
        ],
        user: "0",
        // Names of ports and protocols in filter expressions.
        files: &["/etc/services", "/etc/protocols"],
        directories: &[
            "/etc/captured/config",
            "/etc/captured/tls",
            "/run/captured",
            "/var/lib/captured",
            "/var/lib/packet-captures",
        ],
    },
    Contents {
        name: "capture-coordinator",
        description: "Turns PacketCaptureConfig resources into captures on nodes",
        programs: &[("capture-coordinator", "capture-coordinator")],
        user: "65532",
        files: &[],
        directories: &["/etc/capture/tls"],
    },
    Contents {
        name: "capture-export",
        description: "Delivers finished capture files to object storage, Malcolm and search clusters",
        programs: &[("capture-export", "capture-export")],
        user: "0",
        // Authorities of the sinks' certificates.
        files: &["/etc/ssl/certs/ca-certificates.crt"],
        directories: &[
            "/etc/capture-export/config",
            "/etc/capture-export/secrets",
            "/var/lib/capture-export",
            "/var/lib/packet-captures",
        ],
    },
    Contents {
        name: "capture-web",
        description: "The web page of captures and its HTTP API",
        programs: &[("capture-web", "capture-web")],
        user: "65532",
        // Authorities of the database's and the object storage's certificates.
        files: &["/etc/ssl/certs/ca-certificates.crt"],
        directories: &[
            "/data",
            "/etc/capture-web/accounts",
            "/etc/capture-web/coordinator",
            "/etc/capture-web/database",
            "/etc/capture-web/tls",
        ],
    },
];

/// Packages whose unit tests need neither a kernel of their own nor root.
const TESTED: [&str; 8] = [
    "capture-analysis",
    "capture-client",
    "capture-common",
    "capture-coordinator",
    "capture-file",
    "capture-filter",
    "capture-text",
    "capture-types",
];

/// Builds the images and prints their paths.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let profile = if arguments.dist {
        Profile::Dist
    } else {
        Profile::Release
    };
    let architecture = match arguments.arch {
        None => Architecture::native()?,
        Some(Arch::Amd64) => Architecture::Amd64,
        Some(Arch::Arm64) => Architecture::Arm64,
    };
    let mut stages = Stages::default();
    stages.time("set-up", || setup::prepare(&[Purpose::Build]))?;
    let toolchain = stages.time("cross toolchain", || Toolchain::prepare(architecture))?;
    stages.time("build", || toolchain.build(profile, &packages()))?;
    let images = stages.time("images", || write(&toolchain, profile, arguments.files))?;
    if arguments.tests {
        stages.time("unit tests", || toolchain.test(&TESTED))?;
    }
    for image in images {
        println!("{}", image.display());
    }
    Ok(())
}

/// Builds the images of this machine's architecture; the programs have been built.
pub(crate) fn native(profile: Profile) -> Result<Vec<PathBuf>> {
    write(
        &Toolchain::prepare(Architecture::native()?)?,
        profile,
        false,
    )
}

/// The directory of images.
pub(crate) fn directory() -> PathBuf {
    workspace::target().join("images")
}

fn write(toolchain: &Toolchain, profile: Profile, files: bool) -> Result<Vec<PathBuf>> {
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    CONTENTS
        .iter()
        .map(|contents| write_one(contents, toolchain, profile, (&directory, files)))
        .collect()
}

fn write_one(
    contents: &Contents,
    toolchain: &Toolchain,
    profile: Profile,
    (directory, files): (&Path, bool),
) -> Result<PathBuf> {
    let architecture = toolchain.architecture();
    let path = LibraryPath::of(architecture, &toolchain.libraries());
    let mut tree = Tree::default();
    let mut libraries: Vec<Library> = Vec::new();
    for (_, program) in contents.programs {
        if let Some(said) = toolchain.try_out(profile, program)? {
            eprintln!("under qemu: {said}");
        }
        let stripped = directory.join(format!("{program}-{}", architecture.name()));
        run(command(toolchain.strip())
            .arg("--strip-debug")
            .arg("-o")
            .arg(&stripped)
            .arg(toolchain.program(profile, program)))?;
        let found = tree.program(&stripped, &format!("/usr/bin/{program}"), &path)?;
        fs::remove_file(&stripped)?;
        for library in found {
            if !libraries.contains(&library) {
                libraries.push(library);
            }
        }
    }
    for file in contents.files {
        tree.file(Path::new(file), file)?;
    }
    for one in contents.directories {
        tree.directory(one, 0o755)?;
    }
    tree.directory("/tmp", 0o1777)?;
    let version = env!("CARGO_PKG_VERSION");
    let title =
        |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.into());
    let image = Image {
        name: format!("localhost/{}:{version}", contents.name),
        architecture,
        entrypoint: vec![format!("/usr/bin/{}", contents.name)],
        arguments: Vec::new(),
        user: contents.user.to_owned(),
        labels: vec![
            title("title", contents.name),
            title("description", contents.description),
            title("version", version),
            title("licenses", "MIT OR Apache-2.0"),
        ],
    };
    let stem = format!("{}-{}", contents.name, architecture.name());
    if files {
        tree.write(&directory.join(format!("{stem}.files.tar")))?;
    }
    let file = directory.join(format!("{stem}.tar"));
    let digest = image.write(&tree, &file)?;
    let packages: Vec<&str> = contents
        .programs
        .iter()
        .map(|(package, _)| *package)
        .collect();
    let bill = bill::of(&packages, toolchain.triple(), &libraries, &digest)?;
    let bill_file = directory.join(format!("{stem}.cdx.json"));
    fs::write(&bill_file, bill).with_context(|| format!("writing {}", bill_file.display()))?;
    Ok(file)
}

/// Builds the programs of every image for this machine.
pub(crate) fn compile(profile: Profile) -> Result<()> {
    build::packages(profile, None, &packages())
}

fn packages() -> Vec<&'static str> {
    let programs = CONTENTS.iter().flat_map(|contents| contents.programs);
    programs.map(|(package, _)| *package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfile_makes_the_same_images() {
        let path = workspace::root().join("deploy/Dockerfile");
        let text = fs::read_to_string(path).unwrap();
        for contents in &CONTENTS {
            let name = contents.name;
            let start = text.find(&format!("FROM scratch AS {name}\n"));
            let stage = &text[start.unwrap_or_else(|| panic!("no stage {name}"))..];
            let stage = stage.split("\n\n").next().unwrap();
            let expected = [
                format!("COPY --from=files /images/{name}/ /"),
                format!("USER {}", contents.user),
                format!("ENTRYPOINT [\"/usr/bin/{name}\"]"),
            ];
            for line in expected {
                assert!(
                    stage.lines().any(|one| one == line),
                    "no {line:?} in {stage}"
                );
            }
        }
        let stages = text.matches("FROM scratch AS ").count();
        assert_eq!(stages, CONTENTS.len(), "a stage without an image");
    }
}
