//! Malcolm's SFTP server, by OpenSSH's own `sftp` in batch mode.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use super::{convert::Converted, moving::while_moving};
use crate::{
    redact::Redactor,
    sink::{Failure, NotReady, Progress},
};

const CONNECT: Duration = Duration::from_secs(10);
/// More of what `sftp` says is not read.
const LONGEST_MESSAGE: u64 = 64 << 10;
/// Lines of that which are repeated.
const LAST_LINES: usize = 3;
/// Malcolm's port.
const PORT: u16 = 8022;

/// An account on an SFTP server.
#[derive(Debug)]
pub(super) struct Sftp {
    host: String,
    port: u16,
    user: String,
    /// The directory that Malcolm watches.
    directory: String,
    /// The directory, below it, where files are until they are complete.
    staging: String,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl Sftp {
    /// Takes `sftp://USER@HOST:PORT/DIRECTORY` apart.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn new(
        url: &str,
        staging: Option<&str>,
        key: Option<&Path>,
        known_hosts: Option<&Path>,
    ) -> Result<Self> {
        let rest = url.strip_prefix("sftp://").unwrap_or(url);
        let (account, directory) = rest.split_once('/').unwrap_or((rest, ""));
        let Some((user, server)) = account.rsplit_once('@') else {
            bail!("url: it has no user: use sftp://USER@HOST:PORT/DIRECTORY");
        };
        if user.contains(':') {
            bail!("url: it contains a password: use a key file");
        }
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => {
                let Ok(port) = port.parse() else {
                    bail!("url: {port:?} is no port");
                };
                (host, port)
            }
            _ => (server, PORT),
        };
        // These become arguments of a program, and words of its script.
        let is_plain = |text: &str, more: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let staging = staging.unwrap_or("tmp");
        if !is_plain(user, "._-") {
            bail!("url: user {user:?}: use letters, digits and \"._-\"");
        }
        if !is_plain(host, ".-") {
            bail!("url: host {host:?}: use a name or an IPv4 address");
        }
        let directory = if directory.is_empty() {
            "files"
        } else {
            directory
        };
        for (name, text) in [("url: directory", directory), ("staging", staging)] {
            if !is_plain(text, "._-/") || text.split('/').any(|part| part == "..") {
                bail!("{name} {text:?}: use letters, digits and \"._-/\"");
            }
        }
        let (Some(key), Some(known_hosts)) = (key, known_hosts) else {
            bail!("key and known_hosts: give both files, for sftp://");
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            directory: directory.trim_end_matches('/').to_owned(),
            staging: staging.trim_matches('/').to_owned(),
            key: key.to_owned(),
            known_hosts: known_hosts.to_owned(),
        })
    }

    pub(super) async fn ready(&self) -> Result<(), NotReady> {
        let place = format!("{}:{}", self.host, self.port);
        match timeout(CONNECT, TcpStream::connect(&place)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(NotReady::new(format!("{place}: {error}"))),
            Err(_) => Err(NotReady::new(format!("{place}: no answer"))),
        }
    }

    /// Writes a file into the staging directory, and renames it.
    ///
    /// # Errors
    /// `sftp` failed.
    pub(super) async fn send(
        &self,
        converted: &Converted,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let Some(local) = converted.file.path().to_str() else {
            return Err(Failure::retry("the state directory's path is not UTF-8"));
        };
        let (directory, staging) = (&self.directory, &self.staging);
        let mut script = String::new();
        // The leading hyphen: it may exist.
        let _ = writeln!(script, "-mkdir {directory}/{staging}");
        let _ = writeln!(script, "put {} {directory}/{staging}/{name}", quoted(local));
        let _ = writeln!(
            script,
            "rename {directory}/{staging}/{name} {directory}/{name}"
        );
        let mut child = self.command().spawn().map_err(|error| {
            Failure::retry(format!(
                "sftp cannot be started: {error}; install OpenSSH's client"
            ))
        })?;
        let id = child.id();
        let mut known = None;
        let run = while_moving(run(&mut child, &script), progress, || {
            let now = id.and_then(bytes_read);
            let moved = now != known;
            known = now;
            moved
        });
        run.await.map_err(Failure::retry)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("sftp");
        let option = |name: &str, path: &Path| format!("{name}={}", path.display());
        command
            .args(["-F", "/dev/null", "-b", "-", "-o", "LogLevel=ERROR"])
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
            .args([
                "-o",
                "GlobalKnownHostsFile=/dev/null",
                "-o",
                "ConnectTimeout=10",
            ])
            .args([
                "-o",
                "ServerAliveInterval=15",
                "-o",
                "ServerAliveCountMax=4",
            ])
            .args(["-o", &option("UserKnownHostsFile", &self.known_hosts)])
            .args(["-o", &option("IdentityFile", &self.key)])
            .args(["-P", &self.port.to_string()])
            .arg(format!("{}@{}", self.user, self.host))
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// Runs the script; an error is what `sftp` said.
async fn run(child: &mut Child, script: &str) -> Result<(), String> {
    let (Some(mut input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
        return Err("sftp has no pipes".to_owned());
    };
    // A program that ends early says why.
    let _ = input.write_all(script.as_bytes()).await;
    drop(input);
    let mut said = Vec::new();
    let mut errors = errors.take(LONGEST_MESSAGE);
    let _ = errors.read_to_end(&mut said).await;
    drop(errors);
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    // What matters comes last, below a banner.
    let lines: Vec<_> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let said = Redactor::default().line(&last.join("; "));
    Err(format!("sftp: {status}: {said}"))
}

/// Bytes that a process has read so far.
fn bytes_read(id: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/io")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

/// A path as one word of a script of `sftp`.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    for c in path.chars() {
        // Within quotes only these two are special; the characters of patterns are as well, to `put`.
        if matches!(c, '"' | '\\' | '*' | '?' | '[' | ']') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Sftp;

    #[test]
    fn an_account_that_could_become_an_option_or_a_command_is_rejected() {
        let file = Some(Path::new("/k"));
        let sftp = Sftp::new("sftp://analyst@malcolm.example", None, file, file).unwrap();
        assert_eq!((sftp.port, sftp.directory.as_str()), (8022, "files"));
        for url in [
            "sftp://malcolm.example/files",
            "sftp://-oProxyCommand=x@host/files",
            "sftp://user@-oProxyCommand/files",
            "sftp://user:s3cr3t@host/files",
            "sftp://user@host/fi les",
            "sftp://user@host/a/../b",
            "sftp://user@host:port/files",
            "sftp://user@host/a\nrm b",
        ] {
            let error = Sftp::new(url, None, file, file).unwrap_err().to_string();
            assert!(
                error.contains("url") && !error.contains("s3cr3t"),
                "{url}: {error}"
            );
        }
        assert!(Sftp::new("sftp://user@host", Some("a b"), file, file).is_err());
        assert!(Sftp::new("sftp://user@host", None, None, file).is_err());
    }
}
