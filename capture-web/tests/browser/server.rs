//! The real server, on a port that the system chooses, with a directory of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

/// The password of every account.
const PASSWORD: &str = "correct horse battery";
const PROGRAM: &str = env!("CARGO_BIN_EXE_capture-web");
/// Generous: a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    base: String,
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Server {
    /// Starts a server without accounts, with these variables.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(TempDir::new()?, variables)
    }

    /// Starts a server for these accounts, and returns their password.
    pub(crate) fn start_with_accounts(names: &[&str]) -> Result<(Self, &'static str)> {
        let directory = TempDir::new()?;
        let entries: Result<String> = names.iter().map(|name| account(name)).collect();
        let accounts = directory.path().join("accounts.toml");
        fs::write(&accounts, entries?)?;
        let accounts = accounts
            .to_str()
            .context("a path that is not UTF-8")?
            .to_owned();
        let variables = [
            ("CAPTURE_WEB_ACCOUNTS", accounts.as_str()),
            ("CAPTURE_WEB_LIVE", "false"),
        ];
        Ok((Self::start_in(directory, &variables)?, PASSWORD))
    }

    fn start_in(directory: TempDir, variables: &[(&str, &str)]) -> Result<Self> {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (child, base) = spawn(&directory, &variables, "127.0.0.1:0")?;
        Ok(Self {
            child,
            base,
            directory,
            variables,
        })
    }

    /// Kills the server.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts the server again, on the same port and with the same data.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let address = self.base.trim_start_matches("http://");
        let (child, _) = spawn(&self.directory, &self.variables, address)?;
        self.child = child;
        Ok(())
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Writes a file to upload, and returns its path.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on an address, which serves, and where.
fn spawn(
    directory: &TempDir,
    variables: &[(String, String)],
    address: &str,
) -> Result<(Child, String)> {
    let mut child = command()
        .env("CAPTURE_WEB_LISTEN", address)
        .env("CAPTURE_WEB_METRICS", "")
        // The test must not depend on how full this machine's disk is.
        .env("CAPTURE_WEB_MIN_FREE", "1KiB")
        .env("DATA_DIR", directory.path().join("data"))
        .env("CAPTURE_WEB_SOCKET", directory.path().join("no.sock"))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {PROGRAM}"))?;
    let lines = lines(&mut child)?;
    let mut said = String::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        if let Some((_, address)) = line.split_once("the page is at ") {
            return Ok((child, address.trim_end_matches('/').to_owned()));
        }
        said += &line;
        said.push('\n');
    }
    // It fails only if the server has ended.
    let _ = child.kill();
    let _ = child.wait();
    bail!("the server did not say its address: {said}")
}

fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    // Without the settings of whoever runs the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAPTURE_WEB_") {
            command.env_remove(name);
        }
    }
    command
}

/// An entry of the file of accounts, as the program prints it.
fn account(name: &str) -> Result<String> {
    let mut child = command()
        .args(["account", name, "--role", "analyst"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Dropped at once: the program reads to the end.
    writeln!(child.stdin.take().context("no input")?, "{PASSWORD}")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "account {name}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The lines of the server's log, which is read to its end so that the server never waits.
fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stderr = child.stderr.take().context("no log")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any longer once the address is known.
            let _ = sender.send(line);
        }
    });
    Ok(receiver)
}
