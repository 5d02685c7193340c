//! Additional kernels for the tests to boot, from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::{command, output, run};
use crate::packages::apt_get;
use crate::{requirements, workspace};

/// The series to fetch, if the machine's package sources have them: Debian 12's kernel, which has no TCX,
/// and Debian 13's.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Modules that recording needs in a guest, by prefix of their file names.
const MODULES: [&str; 2] = ["cls_bpf.ko", "sch_ingress.ko"];

/// The directory of the kernels: one subdirectory for each series, with `vmlinuz` and `modules`.
pub(crate) fn directory() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("kernels"))
}

/// Fetches the missing kernels. A series that no package source has is reported and not tested.
pub(crate) fn fetch() -> Result<()> {
    // The tests run this machine's programs in a guest of the same architecture.
    if !cfg!(target_arch = "x86_64") || requirements::program("apt-get").is_none() {
        return Ok(());
    }
    let directory = directory()?;
    let missing: Vec<&str> = SERIES
        .into_iter()
        .filter(|series| !directory.join(series).join("vmlinuz").is_file())
        .filter(|series| !has_none(&directory, series).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if rustix::process::geteuid().is_root() {
        // An old package list names kernels that newer ones have replaced.
        apt_get(&["update"])?;
    }
    for series in missing {
        let to = directory.join(series);
        let packages = output(command("apt-cache").args(["pkgnames", &prefix(series)]))?;
        if let Some(package) = newest(&packages, series) {
            fetch_package(package, &to)
                .with_context(|| format!("fetching Linux {series} for the tests"))?;
        } else {
            let note = has_none(&directory, series);
            fs::create_dir_all(&directory)
                .and_then(|()| fs::write(&note, []))
                .with_context(|| format!("creating {}", note.display()))?;
            eprintln!(
                "set-up: no package source here has Linux {series} to test with; remove {} to look again",
                note.display()
            );
        }
    }
    Ok(())
}

/// A marker for a series that no package source has, so that the sources are not queried each time.
fn has_none(directory: &Path, series: &str) -> PathBuf {
    directory.join(format!("{series}.none"))
}

fn fetch_package(package: &str, to: &Path) -> Result<()> {
    eprintln!(
        "set-up: fetching {package}, to test with, into {}",
        to.display()
    );
    let new = PathBuf::from(format!("{}.new", to.display()));
    let _ = fs::remove_dir_all(&new);
    let modules = new.join("modules");
    fs::create_dir_all(&modules).with_context(|| format!("creating {}", modules.display()))?;
    run(command("apt-get")
        .args(["-q", "download", package])
        .current_dir(&new))?;
    let archive = only(&new, |name| name.ends_with(".deb"))?;
    let unpacked = new.join("unpacked");
    run(command("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
    let kernel = only(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    fs::rename(kernel, new.join("vmlinuz"))?;
    // Below lib/modules, or since Debian 13 below usr/lib/modules.
    for found in output(command("find").arg(&unpacked).args(["-name", "*.ko*"]))?.lines() {
        let path = Path::new(found);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if MODULES.iter().any(|module| name.starts_with(module)) {
            fs::rename(path, modules.join(&*name))?;
        }
    }
    fs::remove_file(archive)?;
    fs::remove_dir_all(unpacked)?;
    let _ = fs::remove_dir_all(to);
    fs::rename(&new, to).with_context(|| format!("renaming {}", new.display()))
}

/// The entry of a directory whose name satisfies a condition.
fn only(directory: &Path, is_it: impl Fn(&str) -> bool) -> Result<PathBuf> {
    fs::read_dir(directory)
        .with_context(|| format!("reading {}", directory.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| is_it(&path.file_name().unwrap_or_default().to_string_lossy()))
        .with_context(|| {
            format!(
                "{} lacks a file that the package should contain",
                directory.display()
            )
        })
}

fn prefix(series: &str) -> String {
    format!("linux-image-{series}.")
}

/// The newest package of the kernel's cloud flavour, which is small.
fn newest<'a>(packages: &'a str, series: &str) -> Option<&'a str> {
    let prefix = prefix(series);
    packages
        .lines()
        .filter(|name| name.starts_with(&prefix) && name.ends_with("-cloud-amd64"))
        .max_by_key(|name| numbers(name))
}

/// The numbers in a name, by which versions are compared.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_kernel_of_a_series_is_taken_and_none_of_another() {
        let packages = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-cloud-amd64\n\
                        linux-image-6.1.0-57-amd64\nlinux-image-6.1.0-58-cloud-amd64-unsigned\n\
                        linux-image-6.12.107+deb12-cloud-amd64\nlinux-image-6.12-cloud-amd64\n";
        let of = |series| newest(packages, series);
        assert_eq!(of("6.1"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(of("6.12"), Some("linux-image-6.12.107+deb12-cloud-amd64"));
        assert_eq!(of("6.6"), None);
    }
}
