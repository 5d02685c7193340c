//! Sends batches until every document has an outcome: retries what the cluster is too busy for, halves what it
//! refuses as a whole or what is too large for it, and puts aside what it will never take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use super::{
    answer::{Outcome, outcomes},
    batch::Batch,
    client::{Answer, Body, Client, RequestError},
    counts::Counts,
    dead_letters::DeadLetters,
    probe,
    refusals::Refusals,
};

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A server that takes less than this takes no documents: batches are not made smaller because of it.
const SMALLEST_BATCH: usize = 16 << 10;
/// So many documents are refused one by one before it is asked whether the cluster refuses everything.
const MOST_REFUSED: usize = 10;
/// A file of which so many documents are refused one by one, and none is taken, is put aside as a whole.
const MOST_ALONE: u64 = 1000;

/// How often and how fast requests are repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Attempts in which no document gets an outcome, before the delivery is given up for now.
    pub(super) retries: u32,
    /// The wait after the first one; it doubles.
    pub(super) wait: Duration,
}

/// Why a delivery was given up for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum BulkError {
    #[error("{reason} (after {attempts} attempts)")]
    Exhausted {
        attempts: u32,
        reason: String,
        after: Option<Duration>,
    },
    #[error("{0}")]
    Refused(String),
    #[error(
        "the cluster answers other requests, but refused each of {MOST_ALONE} documents of this file, and took none: \
         {0}"
    )]
    Hopeless(String),
    #[error("cannot write dead letters: {0}")]
    DeadLetters(std::io::Error),
    #[error("cannot compress a batch: {0}")]
    Compress(std::io::Error),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("compressing was stopped: the program ends")]
    Stopped,
}

/// Sends the batches of one file.
pub(super) struct Bulk {
    pub(super) client: Arc<Client>,
    pub(super) path: String,
    pub(super) patience: Patience,
    pub(super) counts: Arc<Counts>,
    pub(super) dead_letters: DeadLetters,
    /// Bytes that the server takes, as far as it has said so; shared by all files.
    pub(super) largest: Arc<AtomicUsize>,
    /// Documents with which it refuses a request; shared by all files.
    pub(super) refusals: Arc<Refusals>,
}

/// What became of a batch.
enum Finished {
    /// Each document has an outcome.
    Done,
    /// It is sent in two parts.
    Halves(Batch, Batch),
    /// The cluster refuses a request with this one document.
    Refused(Batch, String),
}

/// What is left of a batch after an attempt.
enum Left {
    Nothing,
    /// These documents, for this reason, not before this time.
    Some(Batch, String, Option<Duration>),
    /// All of it: it is too large for one request.
    TooLarge(Batch, String),
    /// All of it: a request with it is wrong, says the cluster.
    Wrong(Batch, String),
}

impl Bulk {
    /// Sends a batch.
    ///
    /// # Errors
    /// Some documents have no outcome, and the delivery has to be repeated later.
    pub(super) async fn send(&self, batch: Batch) -> Result<(), BulkError> {
        let before = self.refusals.taken();
        let mut refused = Vec::new();
        let mut batches = vec![batch];
        while let Some(batch) = batches.pop() {
            if batch.len() > 1 && batch.size() > self.largest.load(Relaxed) {
                let (first, second) = batch.halves();
                batches.extend([second, first]);
                continue;
            }
            match self.finish(batch).await? {
                Finished::Done => {}
                Finished::Halves(first, second) => batches.extend([second, first]),
                Finished::Refused(batch, reason) => {
                    refused.push((batch, reason));
                    let is_known = self.refusals.taken() > before;
                    if is_known || refused.len() > MOST_REFUSED {
                        self.put_aside(&mut refused, before).await?;
                    }
                }
            }
        }
        self.put_aside(&mut refused, before).await
    }

    /// Puts documents aside with which a request is refused, unless the cluster refuses every request.
    async fn put_aside(
        &self,
        refused: &mut Vec<(Batch, String)>,
        before: u64,
    ) -> Result<(), BulkError> {
        for (batch, reason) in refused.drain(..) {
            let (id, _) = batch.document(0);
            if !self.refusals.is_at_fault(id, before) {
                if !probe::is_answered(&self.client, &self.path).await {
                    return Err(BulkError::Refused(reason));
                }
                self.refusals.count_taken();
                self.refusals.forget(id);
            }
            let totals = self.counts.totals();
            if totals.rejected >= MOST_ALONE && totals.rejected == totals.total() {
                return Err(BulkError::Hopeless(reason));
            }
            self.reject(&batch, 0, &reason)?;
        }
        Ok(())
    }

    /// Repeats a batch until each document has an outcome, or it cannot be sent as a whole.
    async fn finish(&self, mut batch: Batch) -> Result<Finished, BulkError> {
        let mut attempts = 0;
        loop {
            let sent = batch.len();
            let (rest, reason, after) = match self.attempt(batch).await? {
                Left::Nothing => return Ok(Finished::Done),
                Left::Wrong(batch, reason) => {
                    return Ok(if batch.len() > 1 {
                        halves(batch)
                    } else {
                        Finished::Refused(batch, reason)
                    });
                }
                Left::TooLarge(batch, _) if batch.len() > 1 => {
                    let half = (batch.size() / 2).max(SMALLEST_BATCH);
                    self.largest.fetch_min(half, Relaxed);
                    return Ok(halves(batch));
                }
                Left::TooLarge(batch, reason) => {
                    self.reject(&batch, 0, &reason)?;
                    return Ok(Finished::Done);
                }
                Left::Some(rest, reason, after) => (rest, reason, after),
            };
            attempts = if rest.len() < sent { 1 } else { attempts + 1 };
            if attempts > self.patience.retries {
                return Err(BulkError::Exhausted {
                    attempts,
                    reason,
                    after,
                });
            }
            self.counts.metrics().again(rest.len());
            batch = rest;
            tokio::time::sleep(self.wait(attempts, after)).await;
        }
    }

    /// Twice as long after each attempt, at least what the server asks for, and by chance up to a half more, so
    /// that many exporters do not come back at the same time.
    fn wait(&self, attempts: u32, after: Option<Duration>) -> Duration {
        let doubled = self
            .patience
            .wait
            .saturating_mul(1 << (attempts - 1).min(10));
        let wait = doubled.min(LONGEST_WAIT).max(after.unwrap_or_default());
        let chance = getrandom::u32().unwrap_or_default();
        wait.mul_f64(1.0 + f64::from(chance) / f64::from(u32::MAX) / 2.0)
    }

    async fn attempt(&self, batch: Batch) -> Result<Left, BulkError> {
        let (batch, body) = tokio::task::spawn_blocking(move || {
            let body = batch.body();
            (batch, body)
        })
        .await
        .map_err(|_| BulkError::Stopped)?;
        let body = Body::Lines(Bytes::from(body.map_err(BulkError::Compress)?));
        let answer = match self.client.send(Method::POST, &self.path, body).await {
            Ok(answer) => answer,
            // The answer is long because each of many documents has an error.
            Err(error @ RequestError::TooLong { .. }) => {
                self.counts.metrics().write("failed");
                return Ok(Left::TooLarge(batch, error.to_string()));
            }
            Err(error @ RequestError::Transport { .. }) => {
                self.counts.metrics().write("failed");
                return Ok(Left::Some(batch, error.to_string(), None));
            }
            Err(error) => return Err(error.into()),
        };
        match answer.status {
            status if status.is_success() => self.sort(batch, &answer),
            StatusCode::PAYLOAD_TOO_LARGE => {
                self.counts.metrics().write("failed");
                Ok(Left::TooLarge(batch, answer.said()))
            }
            StatusCode::BAD_REQUEST => {
                self.counts.metrics().write("failed");
                Ok(Left::Wrong(batch, answer.said()))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                self.counts.metrics().write("busy");
                Ok(Left::Some(batch, answer.said(), answer.after))
            }
            status if status.is_server_error() => {
                self.counts.metrics().write("busy");
                Ok(Left::Some(batch, answer.said(), answer.after))
            }
            _ => {
                self.counts.metrics().write("failed");
                Err(BulkError::Refused(answer.said()))
            }
        }
    }

    /// Counts the outcome of each document; what is left are those that the cluster was too busy for.
    fn sort(&self, batch: Batch, answer: &Answer) -> Result<Left, BulkError> {
        let outcomes = match outcomes(&answer.body, batch.len()) {
            Ok(outcomes) => outcomes,
            // It was cut, or comes from something in between. What was taken is a duplicate next time.
            Err(error) => {
                self.counts.metrics().write("failed");
                let reason = format!("{}: {error}", answer.url);
                return Ok(Left::Some(batch, reason, None));
            }
        };
        let mut busy = Vec::new();
        let mut busy_reason = None;
        let mut refused = None;
        let takes = |outcome: &Outcome| matches!(outcome, Outcome::Accepted | Outcome::Duplicate);
        if outcomes.iter().any(takes) {
            self.refusals.count_taken();
        }
        for (at, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Accepted => self.counts.accepted(),
                Outcome::Duplicate => self.counts.duplicate(),
                Outcome::Rejected(reason) => self.reject(&batch, at, &reason)?,
                Outcome::Busy(reason) => {
                    busy_reason.get_or_insert(reason);
                    busy.push(at);
                }
                Outcome::Refused(reason) => {
                    refused.get_or_insert(reason);
                }
            }
        }
        if let Some(reason) = refused {
            self.counts.metrics().write("failed");
            return Err(BulkError::Refused(format!("{}: {reason}", answer.url)));
        }
        let Some(reason) = busy_reason else {
            self.counts.metrics().write("success");
            return Ok(Left::Nothing);
        };
        self.counts.metrics().write("partial");
        let rest = if busy.len() == batch.len() {
            batch
        } else {
            batch.only(&busy)
        };
        Ok(Left::Some(rest, reason, answer.after))
    }

    fn reject(&self, batch: &Batch, at: usize, reason: &str) -> Result<(), BulkError> {
        let (id, document) = batch.document(at);
        self.dead_letters
            .add(id, document, reason)
            .map_err(BulkError::DeadLetters)?;
        self.counts.rejected();
        Ok(())
    }
}

fn halves(batch: Batch) -> Finished {
    let (first, second) = batch.halves();
    Finished::Halves(first, second)
}
