//! Puts a script into Wireshark's personal extcap directory.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

/// Why the script cannot be installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The directory is unknown.
    #[error("Wireshark's directory for extcap programs is unknown: name it with --directory")]
    NoDirectory,
    /// Writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

const SCRIPT: &str = "capturectl-extcap";

/// Writes the script: it calls `program` with `way` and Wireshark's arguments. Returns its path.
///
/// # Errors
/// Writing failed.
pub fn install(
    directory: &Path,
    program: &Path,
    way: &[OsString],
) -> Result<PathBuf, InstallError> {
    let path = directory.join(SCRIPT);
    let failed = |source| InstallError::Io {
        path: path.clone(),
        source,
    };
    let mut script =
        b"#!/bin/sh\n# Shows Wireshark the interfaces and captures of captured's nodes.\nexec"
            .to_vec();
    for word in [program.as_os_str()]
        .into_iter()
        .chain(way.iter().map(OsString::as_os_str))
    {
        script.push(b' ');
        script.extend(quoted(word));
    }
    script.extend(b" \"$@\"\n");
    fs::create_dir_all(directory).map_err(failed)?;
    fs::write(&path, script).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(path)
}

/// Quoted for sh(1).
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// The directory in which Wireshark looks for a user's extcap programs: as reported by tshark, or
/// the one before version 4.2, which does not report it.
///
/// # Errors
/// There is no home directory either.
pub fn directory() -> Result<PathBuf, InstallError> {
    let folders = Command::new("tshark").args(["-G", "folders"]).output();
    if let Ok(folders) = folders
        && let Some(path) = personal(&String::from_utf8_lossy(&folders.stdout))
    {
        return Ok(path);
    }
    let config = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".config")));
    config
        .map(|config| config.join("wireshark/extcap"))
        .ok_or(InstallError::NoDirectory)
}

/// Lines are `Name:<tab>path`.
fn personal(folders: &str) -> Option<PathBuf> {
    let folder = |name: &str| {
        let mut lines = folders.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(known, path)| {
            known
                .trim()
                .eq_ignore_ascii_case(name)
                .then(|| PathBuf::from(path.trim()))
        })
    };
    folder("Personal Extcap path")
        .or_else(|| folder("Personal configuration").map(|path| path.join("extcap")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_that_tshark_tells() {
        let old = "Temp:\t/tmp\nPersonal configuration:\t/home/u/.config/wireshark\n\
                   Extcap path:\t/usr/lib/extcap\n";
        assert_eq!(
            personal(old),
            Some(PathBuf::from("/home/u/.config/wireshark/extcap"))
        );
        let new = "Personal Extcap path:\t/home/u/.local/lib/wireshark/extcap\n\
                   Personal configuration:\t/home/u/.config/wireshark\n";
        assert_eq!(
            personal(new),
            Some(PathBuf::from("/home/u/.local/lib/wireshark/extcap"))
        );
        assert_eq!(personal("nothing"), None);
    }

    #[test]
    fn the_script_gives_every_word_on_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let way = ["--config", "/it's a $HOME/x"].map(OsString::from);
        let script = install(
            &directory.path().join("new"),
            Path::new("/usr/bin/printf"),
            &[OsString::from("%s|"), way[0].clone(), way[1].clone()],
        )
        .unwrap();
        let output = Command::new(script)
            .arg("--extcap-interfaces")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "--config|/it's a $HOME/x|--extcap-interfaces|"
        );
    }
}
