//! A capture in the manager, and its live state while it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{
    export::ExportState,
    record::{Counts, Record, Snapshot},
    request::CaptureRequest,
    state::{Reason, State},
    totals::Totals,
};
use capture_pipeline::drain::DrainState;
use capture_session::{Control, Monitor, Report};
use capture_types::{CaptureName, Ledger, PodState, SinkName, time};

/// Warnings that are kept; the oldest are dropped first.
const MOST_WARNINGS: usize = 16;

/// Counts younger than this are not read again: reading them takes a system call for each interface.
const FRESH: Duration = Duration::from_millis(50);

/// The live state of a running capture.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) monitor: Arc<Monitor>,
    pub(super) shared: Arc<DrainState>,
    pub(super) control: Control,
}

impl Live {
    /// Adds the conditions that hold now, and problems with files so far.
    fn add_warnings(&self, record: &mut Record) {
        let now = self.monitor.warnings().into_iter();
        for warning in now.chain(self.monitor.progress().warnings()) {
            if !record.warnings.contains(&warning) {
                record.warnings.push(warning);
            }
        }
        let surplus = record.warnings.len().saturating_sub(MOST_WARNINGS);
        record.warnings.drain(..surplus);
    }

    fn totals(&self) -> Totals {
        let interfaces = self.monitor.report();
        let mut total = Ledger::default();
        for interface in &interfaces {
            total += interface.ledger;
        }
        let progress = self.monitor.progress();
        Totals {
            total,
            interfaces,
            bytes: progress.bytes(),
            files: progress.files(),
        }
    }
}

/// What a reader of a capture has seen of it.
pub(super) struct Revision {
    generation: u64,
    pods: Option<Arc<[PodState]>>,
    export: Arc<[ExportState]>,
}

impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        let same_pods = match (&self.pods, &other.pods) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (own, others) => own.is_none() && others.is_none(),
        };
        let same_export = Arc::ptr_eq(&self.export, &other.export);
        self.generation == other.generation && same_pods && same_export
    }
}

/// The prefix of the warning that a capture's record is not on disk.
const UNSAVED: &str = "its state could not be saved, and a crash would lose it";

/// A capture.
pub struct Capture {
    inner: Mutex<Inner>,
    /// Whether it has ended, and its last record is on disk.
    settled: watch::Sender<bool>,
    /// Tells a running capture to end, with the reason.
    stop: watch::Sender<Option<Reason>>,
    /// The counts that were last read, and when.
    counts: Mutex<Option<(Instant, Arc<Counts>)>>,
    /// Locked by the update in progress.
    pub(super) updates: tokio::sync::Mutex<()>,
    /// Tells the task of a running capture that its limits have changed.
    limits: Notify,
}

struct Inner {
    record: Record,
    live: Option<Live>,
    /// What the sinks that it names have of its files; empty until somebody has looked.
    export: Arc<[ExportState]>,
}

impl Capture {
    /// A capture; not settled while it is active or its files are being recovered.
    pub(super) fn new(record: Record, recovering: bool) -> Arc<Self> {
        let settled = watch::Sender::new(!record.state.is_active() && !recovering);
        Arc::new(Self {
            inner: Mutex::new(Inner {
                record,
                live: None,
                export: Arc::default(),
            }),
            settled,
            stop: watch::Sender::new(None),
            counts: Mutex::default(),
            updates: tokio::sync::Mutex::default(),
            limits: Notify::new(),
        })
    }

    /// The record of a capture that has not been started yet.
    pub(super) fn requested(request: CaptureRequest) -> Record {
        Record {
            name: request.spec.name.clone(),
            uid: uid(),
            request,
            state: State::Pending,
            state_reason: None,
            message: String::new(),
            created: time::now(),
            started: None,
            ended: None,
            totals: Totals::default(),
            warnings: Vec::new(),
            resumed: 0,
            generation: 1,
            pods: Vec::new(),
            session: None,
            saved: None,
            unsettled: false,
            away: None,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change under this lock leaves a consistent record.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A capture as a request would create it, without creating it.
    #[must_use]
    pub fn planned(request: CaptureRequest) -> Snapshot {
        Snapshot {
            record: Self::requested(request),
            current_file: None,
            export: Arc::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> CaptureName {
        self.inner().record.name.clone()
    }

    /// The capture as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner();
        let mut record = inner.record.clone();
        let live = inner.live.clone();
        let export = Arc::clone(&inner.export);
        drop(inner);
        let current_file = live
            .as_ref()
            .filter(|_| record.state == State::Running)
            .and_then(|live| live.monitor.progress().file());
        if let Some(live) = &live {
            record.totals = record.totals.and(&live.totals());
            record.pods = live.monitor.pods().to_vec();
            live.add_warnings(&mut record);
        }
        Snapshot {
            record,
            current_file,
            export,
        }
    }

    /// Its name, and the sinks that it names.
    pub(super) fn export_names(&self) -> (CaptureName, Vec<SinkName>) {
        let inner = self.inner();
        let spec = &inner.record.request.spec;
        (spec.name.clone(), spec.export.clone())
    }

    /// Whether somebody has looked what sinks have of its files.
    pub(super) fn has_export(&self) -> bool {
        !self.inner().export.is_empty()
    }

    /// Sets what the sinks that it names have of its files; returns whether that is new.
    pub(super) fn set_export(&self, export: Vec<ExportState>) -> bool {
        let mut inner = self.inner();
        let is_new = *inner.export != *export;
        if is_new {
            inner.export = export.into();
        }
        is_new
    }

    /// The counts, at most 50 ms old.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        let mut last = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, counts)) = &*last
            && at.elapsed() < FRESH
            && counts.generation == self.generation()
        {
            return Arc::clone(counts);
        }
        let inner = self.inner();
        let record = &inner.record;
        let mut counts = Counts {
            name: record.name.clone(),
            uid: record.uid.clone(),
            state: record.state,
            generation: record.generation,
            totals: record.totals.clone(),
            current_file: None,
            warnings: record.warnings.len() as u64,
        };
        let live = inner.live.clone();
        drop(inner);
        if let Some(live) = live {
            counts.totals = counts.totals.and(&live.totals());
            let now = live.monitor.warnings().len() + live.monitor.progress().warnings().len();
            counts.warnings = (counts.warnings + now as u64).min(MOST_WARNINGS as u64);
            if counts.state == State::Running {
                counts.current_file = live.monitor.progress().file();
            }
        }
        let counts = Arc::new(counts);
        *last = Some((Instant::now(), Arc::clone(&counts)));
        counts
    }

    /// Whether this client has requested it with this request id; if so, the fingerprint of the
    /// request.
    pub(super) fn requested_by(&self, who: &str, id: &str) -> Option<Option<String>> {
        let inner = self.inner();
        let request = &inner.record.request;
        (request.request_id.as_deref() == Some(id) && request.created_by == who)
            .then(|| request.fingerprint.clone())
    }

    /// The record without current counts, which cost more to read.
    #[must_use]
    pub fn record(&self) -> Record {
        let inner = self.inner();
        let mut record = inner.record.clone();
        if let Some(live) = &inner.live {
            live.add_warnings(&mut record);
        }
        record
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner().record.state
    }

    /// Its generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner().record.generation
    }

    /// Differs from an earlier one if a reader has something new to be told: its generation, what became of
    /// its pods, and what sinks have of its files.
    pub(super) fn revision(&self) -> Revision {
        let inner = self.inner();
        Revision {
            generation: inner.record.generation,
            pods: inner.live.as_ref().map(|live| live.monitor.pods()),
            export: Arc::clone(&inner.export),
        }
    }

    /// Whether it has all of these labels.
    #[must_use]
    pub fn has_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        if labels.is_empty() {
            return true;
        }
        let inner = self.inner();
        let own = &inner.record.request.labels;
        labels
            .iter()
            .all(|(key, value)| own.get(key) == Some(value))
    }

    /// Its live counts; `None` if it does not run.
    #[must_use]
    pub fn monitor(&self) -> Option<Arc<Monitor>> {
        self.live().map(|live| live.monitor)
    }

    /// Its live state; `None` if it does not run.
    pub(super) fn live(&self) -> Option<Live> {
        self.inner().live.clone()
    }

    /// Changes the record; returns `false` and changes nothing if the transition between states is
    /// not allowed.
    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> bool {
        self.change_if(|record| {
            change(record);
            true
        })
    }

    /// Like [`Self::change`]; the change itself returns whether to apply it.
    pub(super) fn change_if(&self, change: impl FnOnce(&mut Record) -> bool) -> bool {
        let mut inner = self.inner();
        let mut record = inner.record.clone();
        if !change(&mut record) {
            return false;
        }
        let (from, to) = (inner.record.state, record.state);
        if from != to && !from.may_become(to) {
            tracing::error!("capture {}: {from} cannot become {to}", record.name);
            return false;
        }
        record.generation = inner.record.generation + 1;
        record
            .warnings
            .drain(..record.warnings.len().saturating_sub(MOST_WARNINGS));
        inner.record = record;
        true
    }

    /// Whether its state could not be saved.
    pub(super) fn is_unsaved(&self) -> bool {
        let inner = self.inner();
        let mut warnings = inner.record.warnings.iter();
        warnings.any(|warning| warning.starts_with(UNSAVED))
    }

    /// Adds or removes the warning that the state could not be saved; returns whether that is new.
    pub(super) fn note_unsaved(&self, error: Option<&std::io::Error>) -> bool {
        let mut inner = self.inner();
        let warnings = &mut inner.record.warnings;
        let noted = warnings
            .iter()
            .position(|warning| warning.starts_with(UNSAVED));
        match (error, noted) {
            (Some(error), None) => {
                warnings.push(format!("{UNSAVED}: {error}"));
                inner.record.generation += 1;
                true
            }
            (None, Some(at)) => {
                warnings.remove(at);
                inner.record.generation += 1;
                true
            }
            _ => false,
        }
    }

    /// From now on its counts are those of a session, added to those before.
    pub(super) fn goes_live(&self, live: Live) {
        self.inner().live = Some(live);
    }

    /// The session has ended with these last counts.
    pub(super) fn ends_live(&self, report: Option<&Report>) {
        let mut inner = self.inner();
        if let Some(live) = inner.live.take() {
            let mut last = live.totals();
            if let Some(report) = report {
                last.total = report.total;
                last.interfaces.clone_from(&report.interfaces);
            }
            inner.record.totals = inner.record.totals.and(&last);
            inner.record.pods = live.monitor.pods().to_vec();
            live.add_warnings(&mut inner.record);
        }
    }

    /// Tells it to end; the first reason counts.
    pub(super) fn stop(&self, reason: Reason) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(reason);
            }
            first
        });
    }

    /// Whether it was told to end.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Waits until it is told to end.
    pub(super) async fn asked_to_stop(&self) -> Reason {
        let mut stop = self.stop.subscribe();
        let reason = stop
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| *reason);
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Tells the task of a running capture that its limits have changed.
    pub(super) fn limits_changed(&self) {
        self.limits.notify_one();
    }

    /// Waits until the limits have changed.
    pub(super) async fn when_limits_change(&self) {
        self.limits.notified().await;
    }

    /// Whether it has ended, and its last record is on disk.
    pub(super) fn is_settled(&self) -> bool {
        *self.settled.borrow()
    }

    /// Marks it as ended with its last record on disk.
    pub(super) fn settle(&self) {
        self.settled.send_replace(true);
    }

    /// Waits until it has ended and its last record is on disk. A daemon that exits before that
    /// would leave a capture whose last counts are unknown to the next one.
    pub async fn ended(&self) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as `self`.
        let _ = settled.wait_for(|settled| *settled).await;
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn uid() -> String {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(_) => {
                bytes =
                    (u128::from(time::now()) << 32 | u128::from(std::process::id())).to_be_bytes();
                break;
            }
        }
    }
    capture_file::hex(&bytes)
}
