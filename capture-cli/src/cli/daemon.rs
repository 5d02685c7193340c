//! A daemon of one's own, for as long as a command takes.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::exit::Error;
use capture_client::{Address, Target};

/// Between two looks at whether it serves, or has ended.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct OwnDaemon {
    child: Child,
    /// Holds its socket and what it remembers; goes with it.
    directory: PathBuf,
}

impl OwnDaemon {
    /// Starts it and waits until it can be connected to.
    pub(super) async fn start(program: &Path, data: &Path) -> Result<Self, Error> {
        // A socket's path has at most 107 bytes, so it does not stand with the data.
        let directory = std::env::temp_dir().join(format!("captured-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(|error| Error::Failed(format!("{}: {error}", directory.display())))?;
        let mut command = Command::new(program);
        command
            .args(["--log", "warn", "serve", "--metrics", "", "--socket"])
            .arg(directory.join("socket"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Ctrl-C is for this program, which then ends the capture in order.
            .process_group(0);
        let child = command.spawn().map_err(|error| {
            // What was made for nothing.
            let _ = fs::remove_dir(&directory);
            Error::Failed(format!("starting {}: {error}", program.display()))
        })?;
        let mut daemon = Self { child, directory };
        while !daemon.socket().exists() {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(Error::Failed(format!(
                    "{} ended before it served: {status}",
                    program.display()
                )));
            }
            sleep(LOOK).await;
        }
        Ok(daemon)
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// How it is reached.
    pub(super) fn target(&self) -> Target {
        Target {
            address: Address::Unix(self.socket()),
            tls: None,
        }
    }

    /// Tells it to end, and waits: it writes out what it has.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        self.tell_to_end()?;
        while self.child.try_wait()?.is_none() {
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn tell_to_end(&self) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or(ErrorKind::InvalidInput)?;
        Ok(kill_process(id, Signal::TERM)?)
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        // After an error; in order it has ended by now. It ends by itself what it has begun.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.tell_to_end();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
