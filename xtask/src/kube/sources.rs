//! Fetching and unpacking the sources of Kubernetes and the compiler, without installing either.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{command, output, run};

use super::VERSION;

/// Binary packages that are unpacked next to the sources: the compiler, a library whose version in the
/// sources is too old for it, the store, and kubectl.
const PACKAGES: [&str; 5] = [
    "golang-1.19-go",
    "golang-1.19-src",
    "golang-github-modern-go-reflect2-dev",
    "etcd-server",
    "kubernetes-client",
];

/// The unpacked and patched sources; `None` if no package source has them.
pub(super) fn fetch(directory: &Path) -> Result<Option<PathBuf>> {
    let upstream = VERSION.split('-').next().unwrap_or_default();
    let tree = directory.join("src").join(format!("kubernetes-{upstream}"));
    let unpacked = directory.join("src/.unpacked");
    if unpacked.is_file() {
        return Ok(Some(tree));
    }
    make_directories(directory)?;
    write_sources(&directory.join("apt/sources"))?;
    run(apt(directory).arg("update"))?;
    let known = output(apt_cache(directory).args(["showsrc", "kubernetes"])).unwrap_or_default();
    if !known
        .lines()
        .any(|line| line == format!("Version: {VERSION}"))
    {
        return Ok(None);
    }
    let packages = directory.join("packages");
    run(apt(directory)
        .arg("download")
        .args(PACKAGES)
        .current_dir(&packages))?;
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("removing {}", tree.display()))?;
    }
    run(apt(directory)
        .arg("source")
        .arg(format!("kubernetes={VERSION}"))
        .current_dir(directory.join("src")))?;
    unpack(&packages, &directory.join("root"))?;
    replace_reflection(directory, &tree)?;
    fs::write(&unpacked, VERSION)?;
    Ok(Some(tree))
}

/// The directories that apt and the packages need.
pub(super) fn make_directories(directory: &Path) -> Result<()> {
    for name in [
        "apt/lists/partial",
        "apt/cache/archives/partial",
        "apt/sources",
        "packages",
        "root",
        "src",
    ] {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    Ok(())
}

/// Unpacks the packages of one directory into another.
pub(super) fn unpack(packages: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(packages)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(command("dpkg-deb").arg("-x").arg(path).arg(to))?;
        }
    }
    Ok(())
}

/// The machine's package sources, each with its source packages added.
fn write_sources(to: &Path) -> Result<()> {
    let new_style = Path::new("/etc/apt/sources.list.d/debian.sources");
    if let Ok(text) = fs::read_to_string(new_style) {
        let text = text.replace("Types: deb\n", "Types: deb deb-src\n");
        return fs::write(to.join("debian.sources"), text).context("writing package sources");
    }
    let text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    fs::write(to.join("debian.list"), with_sources(&text)).context("writing package sources")
}

fn with_sources(list: &str) -> String {
    let lines = list.lines().filter(|line| line.starts_with("deb "));
    lines
        .map(|line| format!("{line}\n{}\n", line.replacen("deb ", "deb-src ", 1)))
        .collect()
}

/// The machine's package sources, but of Debian's unstable release.
pub(super) fn write_unstable(to: &Path) -> Result<()> {
    let new_style = Path::new("/etc/apt/sources.list.d/debian.sources");
    if let Ok(text) = fs::read_to_string(new_style) {
        return fs::write(to.join("unstable.sources"), unstable(&text))
            .context("writing package sources");
    }
    bail!("{} is not there: this needs Debian 12", new_style.display())
}

/// Without security updates, which the unstable release does not have.
fn unstable(sources: &str) -> String {
    let paragraphs = sources.split("\n\n");
    let kept = paragraphs.filter(|paragraph| !paragraph.contains("-security"));
    let lines = kept.flat_map(|paragraph| paragraph.lines().chain([""]));
    lines
        .map(|line| match line.strip_prefix("Suites:") {
            Some(_) => "Suites: unstable\n".to_owned(),
            None => format!("{line}\n"),
        })
        .collect()
}

/// apt that does not know what is installed: it lists everything that a package needs.
pub(super) fn apt_alone(directory: &Path) -> std::process::Command {
    let mut apt = apt(directory);
    apt.args(["-o", "Dir::State::status=/dev/null"])
        .args(["-o", "APT::Install-Recommends=false"]);
    apt
}

/// apt with separate lists and cache: the machine's are not changed.
fn apt(directory: &Path) -> std::process::Command {
    let mut apt = command("apt-get");
    apt.arg("-qq").args(options(directory));
    apt
}

fn apt_cache(directory: &Path) -> std::process::Command {
    let mut apt = command("apt-cache");
    apt.args(options(directory));
    apt
}

fn options(directory: &Path) -> Vec<String> {
    let own = directory.join("apt").display().to_string();
    let mut options = Vec::new();
    for option in [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={own}/sources"),
        format!("Dir::State::lists={own}/lists"),
        format!("Dir::Cache={own}/cache"),
        // apt's unprivileged user cannot write to a home directory.
        "APT::Sandbox::User=root".to_owned(),
        "Debug::NoLocking=1".to_owned(),
    ] {
        options.push("-o".to_owned());
        options.push(option);
    }
    options
}

/// Replaces Kubernetes' copy of reflect2, which panics with compilers after Go 1.17: every creation of an
/// object fails, while the server reports that it is ready.
fn replace_reflection(directory: &Path, tree: &Path) -> Result<()> {
    let old = tree.join("vendor/github.com/modern-go/reflect2");
    let new = directory.join("root/usr/share/gocode/src/github.com/modern-go/reflect2");
    let is_source = |path: &Path| {
        path.extension()
            .is_some_and(|end| end == "go" || end == "s")
    };
    for entry in fs::read_dir(&old).with_context(|| format!("reading {}", old.display()))? {
        let path = entry?.path();
        if is_source(&path) {
            fs::remove_file(path)?;
        }
    }
    let mut copied = 0;
    for entry in fs::read_dir(&new).with_context(|| format!("reading {}", new.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| is_source(&path)) {
            fs::copy(&path, old.join(name))?;
            copied += 1;
        }
    }
    if copied == 0 {
        bail!("no sources of reflect2 in {}", new.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{unstable, with_sources};

    #[test]
    fn each_package_source_is_asked_for_source_packages_too() {
        let list =
            "# a comment\ndeb [signed-by=/k] mirror bookworm main\ndeb-src mirror bookworm main\n";
        assert_eq!(
            with_sources(list),
            "deb [signed-by=/k] mirror bookworm main\ndeb-src [signed-by=/k] mirror bookworm main\n"
        );
    }

    #[test]
    fn the_unstable_release_is_taken_from_the_same_place() {
        let sources = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n\n\
                       Types: deb\nURIs: http://mirror/debian-security\nSuites: bookworm-security\n";
        assert_eq!(
            unstable(sources),
            "Types: deb\nURIs: http://mirror/debian\nSuites: unstable\n\n"
        );
    }
}
