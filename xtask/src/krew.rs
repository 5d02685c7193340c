//! `kubectl capture` for krew, kubectl's plugin manager: an archive with the client, and its manifest.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use capture_image::{Architecture, sha256};

use crate::command::{command, run};
use crate::requirements::Purpose;
use crate::workspace::{self, Profile};
use crate::{build, setup};

const MANIFEST: &str = "deploy/krew/capture.yaml";
const PROGRAM: &str = "kubectl-capture";

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask krew
  cargo xtask krew --url https://files.example/captured/v0.1.0
  kubectl krew install --manifest target/krew/capture.yaml --archive target/krew/kubectl-capture-linux-amd64.tar.gz";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the archive will be downloaded from
    #[arg(long, default_value = "https://files.example")]
    url: String,
    /// Build as releases are, with link-time optimization
    #[arg(long)]
    dist: bool,
}

/// Writes both into target/krew.
pub(crate) fn pack(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.url.starts_with("https://") && !arguments.url.contains(char::is_whitespace),
        "--url `{}`: krew downloads from addresses that begin with https://",
        arguments.url
    );
    let profile = if arguments.dist {
        Profile::Dist
    } else {
        Profile::Release
    };
    setup::prepare(&[Purpose::Build])?;
    build::packages(profile, None, &["capture-cli"])?;
    let directory = workspace::target().join("krew");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let architecture = Architecture::native()?.name();
    let name = format!("{PROGRAM}-linux-{architecture}.tar.gz");
    let archive = directory.join(&name);
    let program = directory.join(PROGRAM);
    run(command("strip")
        .arg("-o")
        .arg(&program)
        .arg(profile.client()))?;
    write_archive(&program, &archive)?;
    fs::remove_file(&program)?;
    let template = fs::read_to_string(workspace::root().join(MANIFEST))
        .with_context(|| format!("reading {MANIFEST}"))?;
    let digest = sha256(&fs::read(&archive)?);
    let manifest = filled(
        &template,
        &[
            ("VERSION", env!("CARGO_PKG_VERSION")),
            ("ARCH", architecture),
            ("URL", arguments.url.trim_end_matches('/')),
            ("ARCHIVE", &name),
            ("SHA256", &digest),
        ],
    );
    let file = directory.join("capture.yaml");
    fs::write(&file, manifest).with_context(|| format!("writing {}", file.display()))?;
    println!("{}\n{}", archive.display(), file.display());
    Ok(())
}

fn write_archive(program: &Path, archive: &Path) -> Result<()> {
    let file = File::create(archive).with_context(|| format!("creating {}", archive.display()))?;
    let mut tar = command("tar");
    tar.args(["--create", "--gzip", "--owner=0", "--group=0", "--mtime=@0"])
        .stdout(file)
        .arg("-C")
        .arg(program.parent().unwrap_or(program))
        .arg(PROGRAM)
        .arg("-C")
        .arg(workspace::root())
        .args(["LICENSE-MIT", "LICENSE-APACHE"]);
    run(&mut tar)
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut text: String = template
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_template_is_left_unfilled() {
        let template = fs::read_to_string(workspace::root().join(MANIFEST)).unwrap();
        let names = ["VERSION", "ARCH", "URL", "ARCHIVE", "SHA256"];
        let manifest = filled(&template, &names.map(|name| (name, "x")));
        assert!(
            !manifest.contains('@') && manifest.contains("uri: x/x"),
            "{manifest}"
        );
        for name in names {
            assert!(
                template.contains(&format!("@{name}@")),
                "{name} is never used"
            );
        }
    }
}
