//! PostgreSQL from Debian, started for a test as a user without rights, on a socket of its own.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::server::until;

/// nobody: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL, which ends with its guard.
pub(crate) struct Postgres {
    child: Option<Child>,
    programs: PathBuf,
    directory: TempDir,
}

impl Postgres {
    /// Starts one; `None` if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let programs = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut versions: Vec<_> = programs.flatten().map(|entry| entry.path()).collect();
        versions.sort();
        let programs = versions.pop()?.join("bin");
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut postgres = Self {
            child: None,
            programs,
            directory,
        };
        let made = postgres
            .program("initdb")
            .args(["--auth=trust", "--username=web", "--no-sync", "-D"])
            .arg(postgres.data())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        postgres.resume().await;
        Some(postgres)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.directory.path()).env_clear();
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts it again on the same data.
    pub(crate) async fn resume(&mut self) {
        let socket = self.directory.path();
        let child = self
            .program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(socket)
            .arg("-D")
            .arg(self.data())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("PostgreSQL answers", async || self.query("SELECT 1")).await;
    }

    /// Ends it, as a crash does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            // Immediate shutdown: it ends its own children, which a SIGKILL would leave.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            let _ = child.wait();
        }
    }

    /// Runs a statement; whether it worked.
    pub(crate) fn query(&self, sql: &str) -> bool {
        let ran = self
            .program("psql")
            .args(["-q", "-U", "web", "-d", "postgres", "-c", sql, "-h"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ran.unwrap().success()
    }

    /// The setting `database`.
    pub(crate) fn url(&self) -> String {
        let socket: &Path = self.directory.path();
        format!(
            "postgres://web@localhost/postgres?host={}",
            socket.display()
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
