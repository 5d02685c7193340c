//! The task of one sink: delivers what waits, the oldest first, and keeps the sink's checkpoint.

mod failures;

use std::{path::PathBuf, sync::Arc, time::Duration};

use capture_file::checkpoint::AsideBy;
use capture_types::time::now;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    checkpoint::Ledger,
    file::FinishedFile,
    follow::Snapshot,
    metrics::{Attempt, Backlog, Metrics},
    renewal::Renewal,
    requests::{self, Action},
    route::Route,
    sink::{Failure, Indexed, Progress, Receipt, Sink},
};
use failures::{Choice, Failures, key};

/// Limits of one delivery.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first wait after a failure.
    pub first_wait: Duration,
    /// The longest wait after failures.
    pub longest_wait: Duration,
    /// How long a delivery may stand still.
    pub silence: Duration,
    /// How long the question may take whether the sink is ready.
    pub ready: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            silence: Duration::from_secs(330),
            ready: Duration::from_secs(60),
        }
    }
}

/// A file in the manifest that was not found this often is put aside.
const MOST_ABSENCES: u32 = 5;

/// Time between questions whether a file is indexed.
const QUESTIONS: Duration = Duration::from_secs(10);

/// The task of one sink.
#[derive(Debug)]
pub struct Worker {
    /// The sink's name.
    pub name: String,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How it is made again.
    pub renewal: Renewal,
    /// Its checkpoint.
    pub ledger: Ledger,
    /// Which files are for it.
    pub route: Route,
    /// The files that exist.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where requests are left.
    pub state_dir: PathBuf,
    /// Where it counts.
    pub metrics: Metrics,
    /// Its limits.
    pub patience: Patience,
}

impl Worker {
    /// Delivers for ever. Dropping the future ends it at any point; the checkpoint is on disk by then.
    pub async fn run(mut self) {
        let mut failures = Failures::new(&self.patience);
        let mut whole = Arc::default();
        let mut own = Snapshot::default();
        loop {
            let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
            if !Arc::ptr_eq(&snapshot, &whole) {
                own = snapshot.of(&self.route);
                whole = snapshot;
            }
            let snapshot = &own;
            let mut changed = self.ledger.observe(snapshot);
            changed |= self.obey(snapshot, &mut failures);
            if changed {
                self.save(&mut failures).await;
            }
            self.ask_whether_indexed(&mut failures).await;
            let waiting = self.ledger.waiting(snapshot);
            failures.keep_only(&waiting);
            self.report(&waiting);
            match failures.choose(&waiting) {
                Choice::Now(file) => self.attempt(&file, snapshot, &mut failures).await,
                Choice::At(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        news = self.snapshots.changed() => if news.is_err() { return },
                    }
                }
                Choice::Nothing => {
                    if self.snapshots.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        file: &Arc<FinishedFile>,
        snapshot: &Snapshot,
        failures: &mut Failures,
    ) {
        self.renew();
        let outcome = self.deliver(file).await;
        let key = key(file);
        match outcome {
            Ok(receipt) => {
                let entry = &file.entry;
                tracing::info!(
                    sink = self.name,
                    file = entry.file,
                    "delivered to {}",
                    receipt.place
                );
                self.ledger.delivered(file, &receipt, snapshot);
                if self.indexed(&receipt).await == Indexed::No {
                    self.ledger.index_later();
                }
                self.metrics.attempted(&self.name, Attempt::Delivered);
                let seconds = now() / 1_000_000_000;
                let packets = entry.packets.unwrap_or(0);
                self.metrics
                    .delivered(&self.name, entry.bytes, packets, seconds);
                self.metrics.set_up(&self.name, true);
                failures.succeeded(&key);
                self.save(failures).await;
            }
            Err(Failure::Reject { reason }) => {
                tracing::warn!(
                    sink = self.name,
                    file = file.entry.file,
                    "put aside: {reason}"
                );
                self.metrics.attempted(&self.name, Attempt::Rejected);
                self.ledger.aside(file, AsideBy::Sink, &reason, snapshot);
                self.save(failures).await;
            }
            Err(Failure::Gone { reason }) => {
                self.metrics.attempted(&self.name, Attempt::Gone);
                let new = (0, Instant::now());
                let (absences, since) = failures.absences.entry(key).or_insert(new);
                *absences += 1;
                // A file that is compressed after it was finished has another name in the next manifest.
                if *absences >= MOST_ABSENCES && since.elapsed() >= self.patience.longest_wait {
                    let reason = format!("it is in the manifest and not on disk: {reason}");
                    tracing::warn!(
                        sink = self.name,
                        file = file.entry.file,
                        "put aside: {reason}"
                    );
                    self.ledger.aside(file, AsideBy::Sink, &reason, snapshot);
                    self.save(failures).await;
                    return;
                }
                // The manifest follows: the file was removed, or has another name now.
                let _ = timeout(self.patience.first_wait * 4, self.snapshots.changed()).await;
            }
            Err(Failure::Retry { after, reason }) => {
                self.metrics.attempted(&self.name, Attempt::Retried);
                failures.since_success.insert(key);
                self.pause(&reason, after, failures).await;
            }
        }
    }

    /// Makes the sink again, if its certificates or credentials have changed.
    fn renew(&mut self) {
        match tokio::task::block_in_place(|| self.renewal.renewed()) {
            None => {}
            Some(Ok(sink)) => {
                tracing::info!(
                    sink = self.name,
                    "its certificates or credentials were read again"
                );
                self.sink = sink;
            }
            Some(Err(error)) => tracing::warn!(
                sink = self.name,
                "its certificates or credentials have changed, and those before are used: {error:#}"
            ),
        }
    }

    async fn indexed(&self, receipt: &Receipt) -> Indexed {
        let asked = timeout(self.patience.ready, self.sink.indexed(receipt)).await;
        asked.unwrap_or(Indexed::Unknown)
    }

    /// Asks about one file that was delivered, from time to time, whether it is indexed by now.
    async fn ask_whether_indexed(&mut self, failures: &mut Failures) {
        if failures.next_question > Instant::now() {
            return;
        }
        failures.next_question = Instant::now() + QUESTIONS.min(self.patience.longest_wait);
        if let Some(receipt) = self.ledger.next_unindexed() {
            let indexed = self.indexed(&receipt).await;
            if self.ledger.asked(indexed) {
                self.save(failures).await;
            }
        }
    }

    async fn deliver(&self, file: &FinishedFile) -> Result<Receipt, Failure> {
        match timeout(self.patience.ready, self.sink.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(not)) => {
                return Err(Failure::Retry {
                    after: not.after,
                    reason: not.reason,
                });
            }
            Err(_) => {
                return Err(Failure::retry(
                    "no answer to the question whether it is ready",
                ));
            }
        }
        let progress = Progress::default();
        let delivery = self.sink.deliver(file, &progress);
        tokio::pin!(delivery);
        let mut moved = progress.moved();
        loop {
            if let Ok(outcome) = timeout(self.patience.silence, &mut delivery).await {
                return outcome;
            }
            let now = progress.moved();
            if now == moved {
                let seconds = self.patience.silence.as_secs();
                return Err(Failure::retry(format!(
                    "nothing has moved for {seconds} seconds"
                )));
            }
            moved = now;
        }
    }

    /// Reports a failure once, and waits.
    async fn pause(&mut self, reason: &str, after: Option<Duration>, failures: &mut Failures) {
        let wait = failures.pause.next(after);
        self.metrics.set_up(&self.name, false);
        if self.ledger.trouble(reason) {
            tracing::warn!(
                sink = self.name,
                "nothing is delivered: {reason}; next attempt in {:.1} s",
                wait.as_secs_f64()
            );
            // It is for `status` only: without it nothing is lost.
            let _ = tokio::task::block_in_place(|| self.ledger.save());
        }
        let until = Instant::now() + wait;
        while Instant::now() < until {
            tokio::select! {
                () = sleep_until(until) => return,
                news = self.snapshots.changed() => {
                    if news.is_err() {
                        return;
                    }
                    let snapshot = self.snapshots.borrow().of(&self.route);
                    self.report(&self.ledger.waiting(&snapshot));
                    if !requests::of(&self.state_dir, &self.name).is_empty() {
                        return;
                    }
                }
            }
        }
    }

    /// Writes the checkpoint. Nothing more is delivered until that succeeds: a restart would deliver all of it again.
    async fn save(&mut self, failures: &mut Failures) {
        loop {
            match tokio::task::block_in_place(|| self.ledger.save()) {
                Ok(()) => return,
                Err(error) => {
                    let reason = format!("the checkpoint cannot be written: {error}");
                    let wait = failures.pause.next(None);
                    if self.ledger.trouble(&reason) {
                        tracing::error!(sink = self.name, "nothing is delivered: {reason}");
                    }
                    self.metrics.set_up(&self.name, false);
                    sleep(wait).await;
                }
            }
        }
    }

    /// Acts on requests. Returns whether there were some.
    fn obey(&mut self, snapshot: &Snapshot, failures: &mut Failures) -> bool {
        let requests = requests::of(&self.state_dir, &self.name);
        for (path, action) in &requests {
            match action {
                Action::Retry { file } => {
                    let number = self.ledger.retry(file.as_deref());
                    tracing::info!(
                        sink = self.name,
                        "asked to retry: {number} files wait again"
                    );
                    failures.pause.reset();
                    failures.penalties.clear();
                    failures.absences.clear();
                }
                Action::Skip { file, reason } => {
                    let waiting = self.ledger.waiting(snapshot);
                    let found: Vec<_> = waiting
                        .iter()
                        .filter(|waits| waits.entry.file == *file)
                        .collect();
                    tracing::info!(
                        sink = self.name,
                        file,
                        "asked to skip ({} files): {reason}",
                        found.len()
                    );
                    for file in found {
                        self.ledger.aside(file, AsideBy::Person, reason, snapshot);
                    }
                }
            }
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!("{}: {error}", path.display());
            }
        }
        !requests.is_empty()
    }

    fn report(&self, waiting: &[Arc<FinishedFile>]) {
        self.metrics
            .set_backlog(&self.name, backlog(&self.ledger, waiting));
    }
}

/// What waits for a sink.
#[must_use]
pub fn backlog(ledger: &Ledger, waiting: &[Arc<FinishedFile>]) -> Backlog {
    let state = ledger.state();
    let aside = state
        .series
        .values()
        .map(|series| series.aside.len() as u64);
    let oldest = waiting.first().map_or(0, |file| file.time());
    Backlog {
        files: waiting.len() as u64,
        bytes: waiting.iter().map(|file| file.entry.bytes).sum(),
        age: if oldest == 0 {
            0
        } else {
            now().saturating_sub(oldest) / 1_000_000_000
        },
        aside: aside.sum(),
        missed: state.missed,
    }
}
