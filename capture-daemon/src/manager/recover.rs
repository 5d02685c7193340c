//! What an earlier daemon left: captures that it could not end, and those whose time is not over.

use std::{fs, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    Manager, ManagerError,
    capture::{Capture, Record},
    files::{blocking, io_error},
    run,
    state::{Reason, State},
    totals::Settled,
};
use capture_file::repair;
use capture_types::{Output, time};

fn since(saved: Option<u64>) -> String {
    saved.map_or_else(|| "its start".to_owned(), time::rfc3339)
}

/// Lines that are out are in nobody's hand any more.
fn not_known_of_lines(saved: Option<u64>) -> String {
    format!(
        "the daemon died: what became of packets after {}, and of those that were on their way then, is \
         not known; the latter count as write_error",
        since(saved)
    )
}

/// What nobody knows of a capture whose daemon died.
fn not_known(settled: Settled, saved: Option<u64>) -> String {
    let since = since(saved);
    let Settled { found, lost } = settled;
    let mut text = format!(
        "the daemon died: packets that were filtered or lost after {since} are not known; files hold \
         {found} packets more than were known then"
    );
    if lost > 0 {
        text.push_str(&format!(
            "; {lost} packets that were on their way then are in no file and count as write_error"
        ));
    }
    text
}

/// How often the disk is measured.
const MEASURE: Duration = Duration::from_secs(2);

impl Manager {
    /// Takes over what is known of a capture. One that was active did not end: its last files are
    /// recovered.
    pub(super) async fn take_over(&self, mut record: Record) {
        let name = record.name.clone();
        let died = record.state.is_active();
        if died {
            record.state = State::Interrupted;
            record.state_reason = Some(Reason::Crash);
            record.message = Reason::Crash.sentence().to_owned();
            record.ended = Some(time::now());
            record.generation += 1;
        }
        if record.state == State::Interrupted {
            self.recover(&mut record, died).await;
        }
        let capture = Capture::new(record);
        self.inner.captures().insert(name, Arc::clone(&capture));
        self.inner.save(&capture).await;
        self.inner.announce();
    }

    /// Recovers the files of a capture that was interrupted. If its daemon died, its numbers are those
    /// of a while before.
    async fn recover(&self, record: &mut Record, died: bool) {
        let name = record.name.clone();
        let directory = self.directory(&name);
        let session = record.session.filter(|_| died);
        let begun = session.map(|session| session.begun);
        let of = name.clone();
        let recovered =
            tokio::task::spawn_blocking(move || repair::directory(&directory, &of, begun.as_ref()));
        let added = match recovered.await {
            Ok(Ok(recovered)) => {
                for file in recovered.files {
                    tracing::info!("capture {name}: {file}");
                    record.warnings.push(file.to_string());
                }
                recovered.added
            }
            Ok(Err(error)) => {
                tracing::error!("capture {name}: its files could not be recovered: {error}");
                record
                    .warnings
                    .push(format!("its files could not be recovered: {error}"));
                None
            }
            Err(_) => {
                record.warnings.push(Reason::Internal.sentence().to_owned());
                None
            }
        };
        if died && record.started.is_some() {
            let before = session.map_or_else(Default::default, |session| session.before);
            let held = before.and(added.unwrap_or_default());
            let settled = record.totals.settle(held);
            let warning = match record.request.spec.output {
                Output::Files(_) => not_known(settled, record.saved),
                Output::Stdout => not_known_of_lines(record.saved),
            };
            tracing::warn!("capture {name}: {warning}");
            record.warnings.push(warning);
        }
        record.session = None;
    }

    /// Starts interrupted captures again whose time is not over. Those that cannot be started fail,
    /// and say why.
    pub async fn resume(&self) {
        for capture in self.list() {
            let record = capture.record();
            if record.state != State::Interrupted {
                continue;
            }
            let started = record.started.unwrap_or(record.created);
            let (packets, bytes) = (record.totals.total.written, record.totals.bytes);
            if !record
                .request
                .has_more_to_do(started, time::now(), packets, bytes)
            {
                continue;
            }
            if let Err(error) = self.start_again(&capture).await {
                tracing::error!(
                    "capture {} could not be taken up again: {error}",
                    record.name
                );
            }
        }
    }

    async fn start_again(&self, capture: &Arc<Capture>) -> Result<(), ManagerError> {
        let ring = capture.record().request.ring_memory();
        let share = match self.inner.budget.take(ring) {
            Ok(share) => share,
            Err(error) => {
                capture.change(|record| record.warnings.push(error.to_string()));
                return Err(error.into());
            }
        };
        // A session starts afresh: what stopped the one before does not stop this one.
        let capture = self.renew(capture, |record| {
            record.state = State::Pending;
            record.state_reason = None;
            record.message.clear();
            record.ended = None;
            record.resumed += 1;
        });
        let started = run::spawn(&self.inner, &capture, share);
        started.await.map_err(|_| ManagerError::Internal)?
    }

    /// Puts a new capture with the old one's record in its place.
    fn renew(&self, old: &Arc<Capture>, change: impl FnOnce(&mut Record)) -> Arc<Capture> {
        let mut record = old.record();
        change(&mut record);
        record.generation += 1;
        let capture = Capture::new(record.clone());
        self.inner
            .captures()
            .insert(record.name, Arc::clone(&capture));
        self.inner.announce();
        capture
    }

    /// Measures the disk until the daemon ends, and stops captures while their files take more than
    /// they may, the largest first.
    pub async fn watch_disk(&self) {
        let mut looks = interval(MEASURE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match self.measure().await {
                Ok(bytes) => self.inner.budget.set_disk(bytes),
                Err(error) => tracing::warn!("the disk could not be measured: {error}"),
            }
            self.remove_aged().await;
            if self.inner.budget.check_disk().is_err() {
                let largest = self
                    .list()
                    .into_iter()
                    .filter(|capture| capture.state() == State::Running)
                    .max_by_key(|capture| capture.snapshot().record.totals.bytes);
                if let Some(capture) = largest {
                    capture.stop(Reason::DiskFull);
                }
            }
        }
    }

    /// Bytes of all files below the data directory.
    async fn measure(&self) -> Result<u64, ManagerError> {
        let data_dir = self.data_dir().to_owned();
        blocking(move || {
            let mut bytes = 0;
            let mut directories = vec![data_dir];
            while let Some(directory) = directories.pop() {
                let entries = match fs::read_dir(&directory) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(io_error("listing", &directory)(error)),
                };
                for entry in entries.flatten() {
                    match entry.metadata() {
                        Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                        Ok(metadata) => bytes += metadata.len(),
                        // Removed since.
                        Err(_) => {}
                    }
                }
            }
            Ok(bytes)
        })
        .await
    }
}
