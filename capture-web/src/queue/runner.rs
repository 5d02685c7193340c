//! Claims tasks one after the other, and has each worked on by a child process.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Database, State, StoredTask},
    metrics::Metrics,
    objects::{Key, ObjectError, Objects, OutputFile},
    scratch::Scratch,
    worker::{Bounds, Failure, Order, Outcome, Progress, Summary, Work, Worker, WorkerError},
};

/// How often the queue is looked at without a reason: for tasks of other servers.
const LOOK: Duration = Duration::from_secs(1);
/// Between two attempts at something that failed for a reason that passes.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the end of a task is tried to be stored.
const TRIES: u32 = 120;

/// Settings of the runner.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The name of this server in claims.
    pub holder: String,
    /// How long a claim lasts without a heartbeat.
    pub lease: Duration,
    /// How many workers may be lost with a task before it is given up.
    pub failures: u64,
    /// How long reports are kept.
    pub keep: Duration,
    /// Bounds of workers.
    pub bounds: Bounds,
    /// The key of pseudonyms, if reports are redacted.
    pub redaction_key: Option<String>,
}

/// Works on tasks.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The tasks.
    pub database: Database,
    /// Their files.
    pub objects: Objects,
    /// Starts child processes.
    pub worker: Worker,
    /// For work in progress.
    pub scratch: Scratch,
    /// Settings.
    pub settings: RunnerSettings,
    /// Notified when a task was queued here.
    pub wake: Arc<Notify>,
    /// Notified when a task was removed here.
    pub removed: Arc<Notify>,
    /// Counters.
    pub metrics: Metrics,
}

/// Why an attempt had to be given up.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error("a directory for work in progress: {0}")]
    Scratch(#[from] std::io::Error),
}

impl Runner {
    /// Works until told to stop. Several may run at once.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self
                .database
                .claim(&self.settings.holder, self.settings.lease)
                .await
            {
                Ok(Some(task)) => self.work(task, &stop).await,
                Ok(None) => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = timeout(LOOK, self.wake.notified()) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!("no task can be claimed: {error}");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = sleep(PAUSE * 5) => {}
                    }
                }
            }
        }
    }

    async fn work(&self, task: StoredTask, stop: &CancellationToken) {
        let (id, attempt) = (&*task.id, task.attempt);
        if task.failures >= self.settings.failures {
            let failure = Failure::new(
                format!("{} workers were lost with it", task.failures),
                "look at the server's log, and upload it again",
            );
            return self.failed(&task, &failure).await;
        }
        tracing::info!(task = id, attempt, "analysis begins");
        let (progress, seen) = watch::channel(Progress::default());
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = self.attempt(&task, &progress) => ended,
            () = self.hold(&task, seen) => {
                tracing::warn!(task = id, attempt, "the claim is lost; the attempt is given up");
                return self.discard(&task).await;
            }
            () = stop.cancelled() => {
                self.release(&task, false).await;
                return self.discard(&task).await;
            }
        };
        match ended {
            Ok(Outcome::Done(summary)) => {
                self.metrics.analysed(begun.elapsed(), summary.packets);
                self.done(&task, &summary).await;
            }
            Ok(Outcome::Failed(failure)) => self.failed(&task, &failure).await,
            Ok(Outcome::Lost(how)) => {
                tracing::warn!(task = id, attempt, "{how}");
                self.metrics.lost_worker();
                self.discard(&task).await;
                self.release(&task, true).await;
            }
            Err(AttemptError::Object(ObjectError::Missing(key))) => {
                // Removed while it was claimed, or really lost.
                let failure = Failure::new(format!("{key} is not there"), "upload it again");
                self.failed(&task, &failure).await;
            }
            Err(error) => {
                tracing::warn!(task = id, attempt, "{error}; it is tried again");
                self.discard(&task).await;
                sleep(PAUSE).await;
                self.release(&task, false).await;
            }
        }
    }

    /// One attempt: fetch the files, analyse them, store the report.
    async fn attempt(
        &self,
        task: &StoredTask,
        progress: &watch::Sender<Progress>,
    ) -> Result<Outcome, AttemptError> {
        let (inputs, output) = (self.scratch.directory()?, self.scratch.directory()?);
        let mut paths = Vec::new();
        for number in 0..task.names.len() {
            let key = Key::Input {
                task: task.id.clone(),
                number,
            };
            paths.push(self.objects.local(&key, inputs.path()).await?);
        }
        let order = Order {
            inputs: paths,
            names: task.names.clone(),
            output: output.path().to_owned(),
            work: Work::Analyse {
                redaction_key: self.settings.redaction_key.clone(),
            },
            bounds: self.settings.bounds,
        };
        let outcome = self.worker.run(&order, progress).await?;
        if let Outcome::Done(_) = &outcome {
            for file in OutputFile::ALL {
                let key = Key::Output {
                    task: task.id.clone(),
                    attempt: task.attempt,
                    file,
                };
                let path = output.path().join(file.name());
                self.objects.store(&key, &path).await?;
            }
        }
        Ok(outcome)
    }

    /// Extends the claim for as long as it holds.
    async fn hold(&self, task: &StoredTask, progress: watch::Receiver<Progress>) {
        let lease = self.settings.lease;
        let mut until = Instant::now() + lease;
        loop {
            tokio::select! {
                () = sleep(lease / 3) => {}
                () = self.removed.notified() => {}
            }
            let Progress { packets, bytes } = *progress.borrow();
            let asked = Instant::now();
            let held = self
                .database
                .heartbeat(&task.id, task.attempt, (packets, bytes), lease);
            match held.await {
                Ok(true) => until = asked + lease,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(task = task.id, "no heartbeat: {error}");
                    if Instant::now() > until {
                        return;
                    }
                }
            }
        }
    }

    async fn done(&self, task: &StoredTask, summary: &Summary) {
        let Ok(text) = serde_json::to_string(summary) else {
            return;
        };
        if self.persist(task, State::Done, &text).await {
            tracing::info!(
                task = task.id,
                attempt = task.attempt,
                packets = summary.packets,
                "report is ready"
            );
        }
    }

    async fn failed(&self, task: &StoredTask, failure: &Failure) {
        let Ok(text) = serde_json::to_string(failure) else {
            return;
        };
        if self.persist(task, State::Failed, &text).await {
            self.metrics.failed();
            tracing::info!(
                task = task.id,
                attempt = task.attempt,
                "no report: {}",
                failure.detail.escape_debug()
            );
            // Nobody asks for the files of a task without a report.
            if let Err(error) = self.objects.remove(&task.id).await {
                tracing::warn!(task = task.id, "its files stay for now: {error}");
            }
        }
    }

    /// Stores the end of a task, however long the database is away. Returns whether this attempt has ended it.
    async fn persist(&self, task: &StoredTask, end: State, text: &str) -> bool {
        let (id, attempt, keep) = (&*task.id, task.attempt, self.settings.keep);
        for _ in 0..TRIES {
            let stored = match end {
                State::Done => self.database.complete(id, attempt, text, keep).await,
                _ => self.database.fail(id, attempt, text, keep).await,
            };
            let stored = match stored {
                // It may have been stored by a try whose answer was lost.
                Ok(false) => self.database.fate(&task.id).await.map(|fate| {
                    matches!(fate, Some((state, attempt)) if state == end && attempt == task.attempt)
                }),
                other => other,
            };
            match stored {
                Ok(true) => return true,
                Ok(false) => {
                    tracing::warn!(
                        task = task.id,
                        attempt = task.attempt,
                        "another server has the task now"
                    );
                    self.discard(task).await;
                    return false;
                }
                Err(error) => {
                    tracing::warn!(task = task.id, "its end is not stored yet: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
        // The claim lapses, and the task is done again.
        false
    }

    async fn release(&self, task: &StoredTask, lost: bool) {
        if let Err(error) = self.database.release(&task.id, task.attempt, lost).await {
            tracing::warn!(task = task.id, "its claim lapses by itself: {error}");
        }
    }

    /// Removes the output of this attempt.
    async fn discard(&self, task: &StoredTask) {
        let removed = self.objects.remove_attempt(&task.id, task.attempt).await;
        if let Err(error) = removed {
            tracing::warn!(
                task = task.id,
                "output of an attempt stays for now: {error}"
            );
        }
    }
}
