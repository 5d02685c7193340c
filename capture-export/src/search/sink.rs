//! Delivers capture files to a search cluster, as documents.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use capture_file::name::Kind;
use capture_types::{Digest, DigestAlgorithm, Format};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;

use super::{
    batch::Batches,
    bulk::{Bulk, BulkError},
    client::{Body, Client, ClientError},
    counts::{Counts, DocumentTotals, SearchMetrics},
    dead_letters::DeadLetters,
    flows::{Flows, file_name},
    refusals::Refusals,
    settings::{Checked, SearchSettings, environment},
};
use crate::{
    documents::{self, FileContext},
    file::FinishedFile,
    sink::{Failure, NotReady, Progress, Receipt, Sink},
};

/// How often it is told that an answer or the next attempt is waited for.
const ALIVE: Duration = Duration::from_secs(10);
/// Batches that wait to be sent.
const QUEUED: usize = 1;
/// Only what matters comes back of each document.
const BULK: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";

/// Why there is no sink.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Settings are wrong.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A search cluster.
#[derive(Debug)]
pub struct SearchSink {
    settings: Checked,
    client: Arc<Client>,
    metrics: SearchMetrics,
    flows: Flows,
    dead_letters: PathBuf,
    largest: Arc<AtomicUsize>,
    refusals: Arc<Refusals>,
}

impl SearchSink {
    /// A sink with these settings, that keeps what it remembers in `state`. Nothing is connected yet.
    ///
    /// # Errors
    /// Settings are wrong, or a certificate or key cannot be read.
    pub fn open(
        settings: &SearchSettings,
        state: &Path,
        metrics: SearchMetrics,
    ) -> Result<Self, SearchError> {
        let settings = settings
            .check(&environment)
            .map_err(SearchError::Settings)?;
        Ok(Self {
            client: Arc::new(settings.client()?),
            metrics,
            flows: Flows::in_directory(state.join("flows")),
            dead_letters: state.join("dead-letters"),
            largest: Arc::new(AtomicUsize::new(usize::MAX)),
            refusals: Arc::default(),
            settings,
        })
    }

    async fn is_ready(&self) -> Result<(), NotReady> {
        let path = format!("/{}", self.settings.index);
        let answer = self.client.send(Method::HEAD, &path, Body::None).await;
        let answer = answer.map_err(|error| NotReady::new(error.to_string()))?;
        let index = &self.settings.index;
        match answer.status {
            status if status.is_success() => Ok(()),
            // Written to all the same, the index would be created with whatever mapping the cluster guesses.
            StatusCode::NOT_FOUND => Err(NotReady::new(format!(
                "{}: there is no data stream, alias or index {index}: create it with `capture-export search setup`",
                answer.url
            ))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(NotReady::new(format!(
                "{} answered {}: this user may not read the metadata of {index}; see docs/search.md for the \
                 privileges that are needed",
                answer.url, answer.status
            ))),
            status => Err(NotReady {
                reason: format!("{} answered {status}", answer.url),
                after: answer.after,
            }),
        }
    }

    async fn send(&self, file: &FinishedFile, progress: &Progress) -> Result<Receipt, Failure> {
        if Kind::of(&file.path).format == Format::Text {
            return Err(Failure::reject(
                "it is a file of text lines, which has no packets to make documents of",
            ));
        }
        let input = file.open().map_err(|error| Failure::of_file(&error))?;
        let digest = match &file.entry.digest {
            Some(digest) => digest.clone(),
            None => digest_of(&input)
                .await
                .map_err(|error| Failure::of_file(&error))?,
        };
        let context = context(file, &digest);
        let name = file_name(&format!("{}/{}", file.series, context.path));
        let dead_letters =
            DeadLetters::begin(&self.dead_letters, &name, self.settings.dead_letter_bytes)
                .map_err(|error| Failure::retry(format!("dead letters: {error}")))?;
        let counts = Counts::new(self.metrics.clone());
        let bulk = Bulk {
            client: Arc::clone(&self.client),
            path: format!("/{}{BULK}", self.settings.index),
            patience: self.settings.patience,
            counts: Arc::clone(&counts),
            dead_letters,
            largest: Arc::clone(&self.largest),
            refusals: Arc::clone(&self.refusals),
        };
        let flows = self.flows.before(&file.series, file.entry.sequence);
        let (sender, batches) = mpsc::channel(QUEUED);
        let (output, kinds) = (
            Batches::new(sender, self.settings.limits),
            self.settings.kinds,
        );
        let bytes = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&bytes);
        let reading = tokio::task::spawn_blocking(move || {
            let progress = |at| seen.store(at, Relaxed);
            documents::read(context, input, kinds, flows, output, progress)
        });
        self.drive(&bulk, batches, &bytes, progress)
            .await
            .map_err(failure)?;
        let read = reading
            .await
            .map_err(|error| Failure::retry(format!("reading the file: {error}")))?;
        progress.add(file.entry.bytes.saturating_sub(progress.done()));
        let documents: u64 = read.documents.iter().sum();
        let totals = counts.totals();
        if documents != totals.total() {
            return Err(Failure::retry(format!(
                "{documents} documents were read, and {} have an outcome",
                totals.total()
            )));
        }
        if let Some(problem) = &read.problem {
            if documents == 0 {
                return Err(Failure::reject(problem.clone()));
            }
            tracing::warn!(file = %file.path.display(), "documents of the readable part only: {problem}");
        }
        let rejections = bulk
            .dead_letters
            .end()
            .map_err(|error| Failure::retry(format!("dead letters: {error}")))?;
        if let Some(reason) = &rejections.first_reason {
            tracing::warn!(
                file = %file.path.display(), rejected = totals.rejected, left_out = rejections.left_out,
                dead_letters = %rejections.path.display(), "the cluster rejected documents: {reason}"
            );
        }
        self.metrics.traffic(read.traffic);
        self.flows
            .after(&file.series, file.entry.sequence, &read.continued);
        Ok(self.receipt(file, documents, totals))
    }

    fn receipt(&self, file: &FinishedFile, documents: u64, totals: DocumentTotals) -> Receipt {
        let DocumentTotals {
            accepted,
            duplicate,
            rejected,
        } = totals;
        let index = &self.settings.index;
        tracing::info!(
            file = %file.path.display(), index, documents, accepted, duplicate, rejected, waiting = 0,
            "documents delivered"
        );
        Receipt {
            place: format!(
                "{index}: {documents} documents, {accepted} accepted, {duplicate} duplicate, {rejected} rejected"
            ),
            verified: false,
        }
    }

    /// Sends batches as they come, several at once; the reader waits while as many are on their way.
    async fn drive(
        &self,
        bulk: &Bulk,
        mut batches: mpsc::Receiver<super::batch::Batch>,
        bytes: &AtomicU64,
        progress: &Progress,
    ) -> Result<(), BulkError> {
        let mut sending = FuturesUnordered::new();
        let mut more = true;
        // Every request, and every wait before the next attempt, ends by itself.
        let mut waiting = tokio::time::interval(ALIVE);
        while more || !sending.is_empty() {
            tokio::select! {
                batch = batches.recv(), if more && sending.len() < self.settings.in_flight => {
                    match batch {
                        Some(batch) => {
                            bulk.counts.read(batch.len());
                            sending.push(bulk.send(batch));
                        }
                        None => more = false,
                    }
                }
                Some(sent) = sending.next() => sent?,
                _ = waiting.tick(), if !sending.is_empty() => progress.alive(),
            }
            progress.add(bytes.load(Relaxed).saturating_sub(progress.done()));
        }
        Ok(())
    }
}

impl Sink for SearchSink {
    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>> {
        Box::pin(self.is_ready())
    }

    fn deliver<'a>(
        &'a self,
        file: &'a FinishedFile,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(file, progress))
    }
}

fn failure(error: BulkError) -> Failure {
    let after = match &error {
        BulkError::Exhausted { after, .. } => *after,
        _ => None,
    };
    let reason = error.to_string();
    match error {
        BulkError::Hopeless(_) => Failure::Reject { reason },
        _ => Failure::Retry { after, reason },
    }
}

async fn digest_of(input: &File) -> io::Result<Digest> {
    let input = input.try_clone()?;
    tokio::task::spawn_blocking(move || {
        use std::io::Seek as _;
        let digest = capture_file::digest(&input, DigestAlgorithm::default())?;
        // Both descriptors have one position.
        (&input).rewind()?;
        Ok(digest)
    })
    .await
    .map_err(io::Error::other)?
}

fn context(file: &FinishedFile, digest: &Digest) -> FileContext {
    FileContext {
        cluster: file.origin.cluster.clone(),
        node: file.origin.node.clone(),
        series: file.series.clone(),
        capture: file.capture.clone(),
        path: file.path.display().to_string(),
        sequence: (file.entry.sequence > 0).then_some(file.entry.sequence),
        digest: digest.to_string(),
    }
}
