//! Recovery after an earlier daemon: captures that it could not end, and those that are to be
//! resumed.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Manager, ManagerError,
    capture::Capture,
    files::{blocking, io_error},
    record::{Away, Record},
    run,
    start::interfaces,
    state::{Reason, State},
    totals::Settled,
};
use capture_file::{name::PART, repair};
use capture_types::{CaptureName, Output, time};

fn since(saved: Option<u64>) -> String {
    saved.map_or_else(|| "its start".to_owned(), time::rfc3339)
}

/// The message of a capture while its files are recovered.
const RECOVERING: &str = "the daemon ended before the capture did; its files are being recovered";

/// The warning for a capture of lines: lines that were printed cannot be counted afterwards.
fn not_known_of_lines(saved: Option<u64>) -> String {
    format!(
        "the daemon died: what became of packets after {}, and of those that were on their way then, is \
         not known; the latter count as write_error",
        since(saved)
    )
}

/// Since when no daemon was capturing.
fn away_since(before: &Record) -> Option<Away> {
    Some(match before.state_reason {
        Some(Reason::Crash) => Away::AtLatestSince(before.saved?),
        _ => Away::Since(before.ended?),
    })
}

/// Bytes of unfinished files that a daemon left.
fn unfinished_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let unfinished = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(PART));
    let sizes = unfinished.filter_map(|entry| entry.metadata().ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// The warning about unknown counts of a capture whose daemon died.
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
    /// Loads the record of a capture. If it was active, it did not end properly: its last files are
    /// recovered by [`Manager::recover`].
    pub(super) fn take_over(&self, mut record: Record) {
        let name = record.name.clone();
        if record.state.is_active() {
            record.state = State::Interrupted;
            record.state_reason = Some(Reason::Crash);
            record.ended = Some(time::now());
            record.unsettled = true;
            record.generation += 1;
        }
        let recovering = record.state == State::Interrupted;
        if recovering {
            RECOVERING.clone_into(&mut record.message);
            self.inner.recovering.fetch_add(1, Relaxed);
        }
        let capture = Capture::new(record, recovering);
        self.inner.captures().insert(name, capture);
        self.inner.announce();
    }

    /// Recovers the files of captures that were interrupted, and resumes each whose time is not over.
    /// Captures that can be resumed come first. New captures can be started meanwhile.
    pub async fn recover(&self) {
        let mut left = Vec::new();
        for capture in self.list() {
            if capture.state() == State::Interrupted && !capture.is_settled() {
                let name = capture.name();
                let directory = self.directory(&name);
                let sized = blocking(move || Ok(unfinished_bytes(&directory))).await;
                left.push((sized.unwrap_or(u64::MAX), capture));
            }
        }
        left.sort_by_key(|(bytes, _)| *bytes);
        let mut recovered = Vec::new();
        for (_, capture) in left {
            recovered.push(capture.name());
            self.recover_files(&capture).await;
            self.inner.recovering.fetch_sub(1, Relaxed);
            self.inner.save(&capture).await;
            capture.settle();
            self.inner.announce();
            self.resume(&capture).await;
        }
        self.digest_files(&recovered).await;
    }

    /// Computes the digests of recovered files that recovery has left out, of captures that were not resumed: a
    /// running capture computes them itself when it has time.
    async fn digest_files(&self, recovered: &[CaptureName]) {
        for name in recovered {
            let running = self.get(name.as_str());
            if running.is_ok_and(|capture| capture.state().is_active()) {
                continue;
            }
            let (directory, of) = (self.directory(name), name.clone());
            let digests = tokio::task::spawn_blocking(move || repair::digests(&directory, &of));
            match digests.await {
                Ok(Ok(0)) => {}
                Ok(Ok(files)) => {
                    tracing::info!(
                        "capture {name}: digests of {files} recovered files are in its manifest"
                    );
                }
                Ok(Err(error)) => {
                    tracing::warn!("capture {name}: recovered files have no digests: {error}");
                }
                Err(_) => tracing::warn!("capture {name}: recovered files have no digests"),
            }
        }
    }

    /// Recovers the files of a capture. If its daemon died, its counts are those of the last save.
    async fn recover_files(&self, capture: &Arc<Capture>) {
        let record = capture.record();
        let name = record.name.clone();
        let directory = self.directory(&name);
        let died = record.unsettled;
        let session = record.session.filter(|_| died);
        let begun = session.map(|session| session.begun);
        let of = name.clone();
        let recovered =
            tokio::task::spawn_blocking(move || repair::directory(&directory, &of, begun.as_ref()));
        let mut warnings = Vec::new();
        let added = match recovered.await {
            Ok(Ok(recovered)) => {
                for file in recovered.files {
                    tracing::info!("capture {name}: {file}");
                    warnings.push(file.to_string());
                }
                recovered.added
            }
            Ok(Err(error)) => {
                tracing::error!("capture {name}: its files could not be recovered: {error}");
                warnings.push(format!("its files could not be recovered: {error}"));
                None
            }
            Err(_) => {
                warnings.push(Reason::Internal.sentence().to_owned());
                None
            }
        };
        capture.change(|record| {
            if died && record.started.is_some() {
                let before = session.map_or_else(Default::default, |session| session.before);
                let held = before.and(added.unwrap_or_default());
                let settled = record.totals.settle(held);
                let warning = match record.request.spec.output {
                    Output::Files(_) | Output::NamedFiles(..) => not_known(settled, record.saved),
                    Output::Stdout | Output::Stream(_) => not_known_of_lines(record.saved),
                };
                tracing::warn!("capture {name}: {warning}");
                warnings.push(warning);
            }
            record.warnings.append(&mut warnings);
            record.session = None;
            record.unsettled = false;
            let reason = record.state_reason.unwrap_or(Reason::Crash);
            reason.sentence().clone_into(&mut record.message);
        });
    }

    /// Resumes an interrupted capture, if its time is not over and nobody has stopped it. If it cannot
    /// be started, it fails with the reason.
    async fn resume(&self, capture: &Arc<Capture>) {
        let record = capture.record();
        let there = self.get(record.name.as_str());
        let is_there = there.is_ok_and(|there| Arc::ptr_eq(&there, capture));
        if !is_there || capture.is_asked_to_stop() {
            return;
        }
        let started = record.started.unwrap_or(record.created);
        let (packets, bytes) = (record.totals.total.written, record.totals.bytes);
        let more = record
            .request
            .has_more_to_do(started, time::now(), packets, bytes);
        if more && let Err(error) = self.start_again(capture).await {
            tracing::error!("capture {} could not be resumed: {error}", record.name);
        }
    }

    async fn start_again(&self, capture: &Arc<Capture>) -> Result<(), ManagerError> {
        let before = capture.record();
        let request = &before.request;
        let away = away_since(&before);
        let descriptors = request.descriptors(interfaces());
        let share = match self.inner.budget.take(request.ring_memory(), descriptors) {
            Ok(share) => share,
            Err(error) => {
                capture.change(|record| record.warnings.push(error.to_string()));
                return Err(error.into());
            }
        };
        // The new session is not affected by a stop of the previous one.
        let capture = self.renew(capture, |record| {
            record.state = State::Pending;
            record.state_reason = None;
            record.message.clear();
            record.ended = None;
            record.resumed += 1;
            record.away = away;
            record.pods.clear();
        });
        let started = run::spawn(&self.inner, &capture, share);
        started.await.map_err(|_| ManagerError::Internal)?
    }

    /// Replaces a capture by a new one with the same record.
    fn renew(&self, old: &Arc<Capture>, change: impl FnOnce(&mut Record)) -> Arc<Capture> {
        let mut record = old.record();
        change(&mut record);
        record.generation += 1;
        let capture = Capture::new(record.clone(), false);
        self.inner
            .captures()
            .insert(record.name, Arc::clone(&capture));
        self.inner.announce();
        capture
    }

    /// Measures the disk until the daemon ends, and stops captures while their files exceed the
    /// limit, the largest first.
    pub async fn watch_disk(&self) {
        let mut looks = interval(MEASURE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let began = Instant::now();
            match self.measure().await {
                Ok((bytes, free)) => self.inner.budget.set_disk(bytes, free),
                Err(error) => tracing::warn!("the disk could not be measured: {error}"),
            }
            self.remove_aged().await;
            // At most a hundredth of a core, however many files there are.
            looks.reset_after(MEASURE.max(began.elapsed() * 100));
            if self.inner.budget.check_disk().is_err() {
                let largest = self
                    .list()
                    .into_iter()
                    .filter(|capture| capture.state() == State::Running)
                    .max_by_key(|capture| capture.counts().totals.bytes);
                if let Some(capture) = largest {
                    capture.stop(Reason::DiskFull);
                }
            }
        }
    }

    /// Bytes of all files below the data directory, and bytes free on its file system.
    async fn measure(&self) -> Result<(u64, Option<u64>), ManagerError> {
        let data_dir = self.data_dir().to_owned();
        blocking(move || {
            let mut bytes = 0;
            let free = rustix::fs::statvfs(&data_dir)
                .ok()
                .map(|space| space.f_bavail.saturating_mul(space.f_frsize));
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
            Ok((bytes, free))
        })
        .await
    }
}
