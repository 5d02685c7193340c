//! Removes reports past their time, uploads that were broken off, and files that belong to nothing.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Database, DatabaseError, State},
    objects::{ObjectError, Objects},
};

/// Removes what is not needed any more.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The tasks.
    pub database: Database,
    /// Their files.
    pub objects: Objects,
    /// Bytes of files of reports that are kept.
    pub most_bytes: u64,
    /// Between two rounds.
    pub interval: Duration,
    /// Notified when a task was removed here.
    pub removed: Arc<Notify>,
}

/// Why something was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The files.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Removal {
    /// Removes until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!("removing what is not needed any more: {error}");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(self.interval) => {}
            }
        }
    }

    /// Removes a task with its files. `false`: there is none.
    ///
    /// # Errors
    /// See [`RemovalError`]. A removal that has begun is finished by a later round.
    pub async fn remove(&self, id: &str) -> Result<bool, RemovalError> {
        let begun = match self.database.begin_removal(id).await {
            Err(DatabaseError::Full) => {
                // There is such a task, and its files make room to say that it is removed.
                self.objects.remove(id).await?;
                self.database.begin_removal(id).await?
            }
            begun => begun?,
        };
        if !begun {
            return Ok(false);
        }
        self.removed.notify_waiters();
        self.finish(id).await?;
        Ok(true)
    }

    async fn finish(&self, id: &str) -> Result<(), RemovalError> {
        self.objects.remove(id).await?;
        self.database.finish_removal(id).await?;
        Ok(())
    }

    /// One round over everything.
    ///
    /// # Errors
    /// See [`RemovalError`].
    pub async fn round(&self) -> Result<(), RemovalError> {
        let expired = match self.database.expired().await {
            Err(DatabaseError::Full) => {
                for id in self.database.overdue().await? {
                    self.objects.remove(&id).await?;
                }
                self.database.expired().await?
            }
            expired => expired?,
        };
        for id in expired {
            self.finish(&id).await?;
            tracing::info!(task = id, "removed: its time is over");
        }
        for id in self.database.beyond(self.most_bytes).await? {
            self.remove(&id).await?;
            tracing::info!(task = id, "removed: the reports together are too large");
        }
        self.orphans().await
    }

    /// Removes files that belong to no task. A row is written before the first file of its task, and removed
    /// after the last one: files that are seen before their row is missed belong to nothing.
    async fn orphans(&self) -> Result<(), RemovalError> {
        for found in self.objects.tasks().await? {
            match self.database.fate(&found.id).await? {
                None | Some((State::Failed, _)) => {
                    self.objects.remove(&found.id).await?;
                    tracing::info!(task = found.id, "removed: files that belong to no report");
                }
                // A report has the files of its last attempt only.
                Some((State::Done, last)) => {
                    for attempt in found.attempts.into_iter().filter(|one| *one != last) {
                        self.objects.remove_attempt(&found.id, attempt).await?;
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
