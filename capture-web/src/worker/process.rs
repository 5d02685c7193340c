//! The server's side: start a worker, follow it, end it.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::order::{Answer, Failure, Order, Summary};

/// A longer line is not an answer: the child may have been taken over by the file it reads.
const LONGEST_ANSWER: u64 = 64 << 10;
/// Bytes of a child's messages that are logged.
const LONGEST_MESSAGE: u64 = 4 << 10;

/// Starts workers.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The program that has the subcommand `worker`.
    pub program: PathBuf,
    /// How long one may run.
    pub time: Duration,
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Packets read.
    pub packets: u64,
    /// Bytes read of the files on disk.
    pub bytes: u64,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The output is complete.
    Done(Summary),
    /// There is no output, and there would be none the next time.
    Failed(Failure),
    /// It ended without an answer: it was killed, or is broken. The next attempt may succeed.
    Lost(String),
}

/// Why there was no worker.
#[derive(Debug, thiserror::Error)]
#[error("starting a worker: {0}")]
pub struct WorkerError(#[from] std::io::Error);

impl Worker {
    /// Runs one order to its end. The child is killed if the returned future is dropped.
    ///
    /// # Errors
    /// The child cannot be started.
    pub async fn run(
        &self,
        order: &Order,
        progress: &watch::Sender<Progress>,
    ) -> Result<Outcome, WorkerError> {
        let mut child = Command::new(&self.program)
            .arg("worker")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let Some(((mut stdin, stdout), stderr)) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .zip(child.stderr.take())
        else {
            return Err(std::io::Error::other("no pipes").into());
        };
        let mut line = serde_json::to_string(order).map_err(std::io::Error::other)?;
        line.push('\n');
        // A child that ends early is noticed by its missing answer.
        let _ = stdin.write_all(line.as_bytes()).await;
        let messages = tokio::spawn(messages(stderr));
        let answered = timeout(self.time, answer(stdout, progress)).await;
        let outcome = match answered {
            Ok(Some(Answer::Done(summary))) => Outcome::Done(summary),
            Ok(Some(Answer::Failed(failure))) => Outcome::Failed(failure),
            Ok(_) => self.ended(&mut child, order).await?,
            Err(_) => {
                let _ = child.kill().await;
                let seconds = self.time.as_secs();
                Outcome::Failed(Failure::new(
                    format!("it took more than {seconds} seconds"),
                    "upload a part of it, or raise analysis_time",
                ))
            }
        };
        drop(stdin);
        // It has nothing more to do; if it does not end by itself, it is ended.
        if timeout(Duration::from_secs(2), child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
        if let Ok(text) = messages.await
            && !text.is_empty()
        {
            tracing::warn!("a worker says: {}", text.trim_end().escape_debug());
        }
        Ok(outcome)
    }

    /// What the end of a child without an answer means.
    async fn ended(&self, child: &mut Child, order: &Order) -> Result<Outcome, WorkerError> {
        // Its stdout is closed or of no use.
        let _ = child.start_kill();
        let status = child.wait().await?;
        let by = |signal: Signal| status.signal() == Some(signal.as_raw());
        let bounds = order.bounds;
        Ok(if by(Signal::XCPU) {
            Outcome::Failed(Failure::new(
                format!(
                    "it took more than {} seconds of processor time",
                    bounds.cpu_seconds
                ),
                "upload a part of it, or raise analysis_time",
            ))
        } else if by(Signal::ABORT) {
            Outcome::Failed(Failure::new(
                format!("it needs more than {} bytes of memory", bounds.memory),
                "upload a part of it, or raise worker_memory",
            ))
        } else if by(Signal::XFSZ) {
            Outcome::Failed(Failure::new(
                format!("the result is larger than {} bytes", bounds.file_bytes),
                "upload a part of it, or raise max_output_size",
            ))
        } else {
            Outcome::Lost(described(status))
        })
    }
}

fn described(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("the worker was ended by signal {signal}"),
        (None, Some(code)) => format!("the worker ended with status {code} and no answer"),
        (None, None) => "the worker ended without an answer".to_owned(),
    }
}

/// The final answer; `None` if there is none.
async fn answer(
    stdout: impl AsyncRead + Unpin,
    progress: &watch::Sender<Progress>,
) -> Option<Answer> {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut stdout).take(LONGEST_ANSWER);
        if bounded.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        match serde_json::from_slice(&line).ok()? {
            Answer::Progress { packets, bytes } => {
                progress.send_replace(Progress { packets, bytes });
            }
            last => return Some(last),
        }
    }
}

/// The first bytes of a child's messages. The rest is read as well, so that the child does not wait for a reader.
async fn messages(stderr: impl AsyncRead + Unpin) -> String {
    let mut stderr = BufReader::new(stderr);
    let mut text = Vec::new();
    let mut bounded = (&mut stderr).take(LONGEST_MESSAGE);
    let _ = bounded.read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}
