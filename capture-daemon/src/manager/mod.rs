//! Manages many captures: their states, shared resources, and recovery after a crash.
//!
//! This module knows neither gRPC nor configuration files; both submit a [`CaptureRequest`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::watch as tokio_watch, time::timeout};

mod budget;
mod capture;
mod error;
mod export;
mod files;
mod packets;
mod record;
mod recover;
mod request;
mod run;
mod start;
mod state;
mod store;
mod totals;
mod update;
mod watch;

use self::store::{Save, Store};
pub use self::{
    budget::{Budget, BudgetLimits, BudgetUsage, Exhausted, ReaderShare},
    capture::Capture,
    error::ManagerError,
    export::ExportState,
    files::{CaptureFiles, FileStatus, StoredFile},
    packets::PacketReader,
    record::{Counts, Record, SessionStart, Snapshot},
    request::{CaptureRequest, MADE_UP_NAME, StopConditions},
    state::{Reason, State},
    store::StoreError,
    totals::{Settled, Totals},
    update::Update,
    watch::{CaptureChange, Follower},
};
use capture_session::SessionOptions;
use capture_types::{CaptureName, time};

/// The manager's settings.
#[derive(Debug, Clone)]
pub struct ManagerSettings {
    /// Directory of state files.
    pub state_dir: PathBuf,
    /// Parent of the captures' directories.
    pub data_dir: PathBuf,
    /// State directory of an exporter, which is only read.
    pub export_state_dir: PathBuf,
    /// Limits shared by all captures.
    pub limits: BudgetLimits,
    /// Options of sessions.
    pub session: SessionOptions,
    /// Runtime of the sessions: long work there delays no client.
    pub runtime: tokio::runtime::Handle,
}

/// The captures of this node. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ManagerSettings,
    captures: Mutex<BTreeMap<CaptureName, Arc<Capture>>>,
    budget: Arc<Budget>,
    store: Store,
    /// Incremented when a capture changes.
    version: tokio_watch::Sender<u64>,
    /// Set when the daemon is shutting down.
    closing: tokio_watch::Sender<bool>,
    /// Captures of an earlier daemon whose files are still to be recovered.
    recovering: AtomicU32,
}

impl Inner {
    fn captures(&self) -> MutexGuard<'_, BTreeMap<CaptureName, Arc<Capture>>> {
        // Entries are added and removed whole.
        self.captures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies followers.
    fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Saves a capture's record. A capture whose record cannot be saved continues, as its files
    /// matter more, and shows a warning.
    async fn save(&self, capture: &Capture) {
        let saved = self.try_save(capture, Save::WithReserve).await;
        let first = capture.note_unsaved(saved.as_ref().err());
        if let Err(error) = saved
            && first
        {
            let name = capture.name();
            tracing::error!("the state of capture {name} could not be saved: {error}");
            self.announce();
        }
    }

    async fn try_save(&self, capture: &Capture, how: Save) -> std::io::Result<()> {
        let mut record = capture.snapshot().record;
        record.saved = Some(time::now());
        self.store.save(record, how).await
    }
}

impl Manager {
    /// Opens the state directory and loads the records that an earlier daemon has left. Files are
    /// recovered, and captures resumed, by [`Manager::recover`].
    pub async fn open(settings: ManagerSettings) -> Result<Self, StoreError> {
        let (store, records) = Store::open(&settings.state_dir)?;
        let inner = Arc::new(Inner {
            budget: Budget::new(settings.limits),
            settings,
            captures: Mutex::default(),
            store,
            version: tokio_watch::Sender::new(0),
            closing: tokio_watch::Sender::new(false),
            recovering: AtomicU32::new(0),
        });
        let manager = Self { inner };
        for record in records {
            manager.take_over(record);
        }
        Ok(manager)
    }

    /// The capture of this name.
    pub fn get(&self, name: &str) -> Result<Arc<Capture>, ManagerError> {
        CaptureName::new(name)
            .ok()
            .and_then(|name| self.inner.captures().get(&name).cloned())
            .ok_or_else(|| ManagerError::NotFound(name.to_owned()))
    }

    /// All captures, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Capture>> {
        self.inner.captures().values().cloned().collect()
    }

    /// All captures with their names, sorted by name.
    #[must_use]
    pub fn by_name(&self) -> Vec<(CaptureName, Arc<Capture>)> {
        let captures = self.inner.captures();
        captures
            .iter()
            .map(|(name, capture)| (name.clone(), Arc::clone(capture)))
            .collect()
    }

    /// Tells a capture to end; no effect on one that has ended.
    pub fn stop(&self, name: &str) -> Result<Arc<Capture>, ManagerError> {
        let capture = self.get(name)?;
        capture.stop(Reason::Requested);
        Ok(capture)
    }

    /// Removes a capture that has ended, and its files unless they are to be kept; returns the
    /// number of removed files.
    pub async fn delete(
        &self,
        name: &str,
        stop: bool,
        keep_files: bool,
    ) -> Result<(Arc<Capture>, u64), ManagerError> {
        let capture = self.get(name)?;
        // Of two concurrent calls the second finds nothing left.
        let turn = capture.updates.lock().await;
        let there = self.get(name)?;
        if !Arc::ptr_eq(&there, &capture) {
            return Err(ManagerError::NotFound(name.to_owned()));
        }
        let state = capture.state();
        if state.is_active() {
            if !stop {
                return Err(ManagerError::Active {
                    name: name.to_owned(),
                    state,
                });
            }
            capture.stop(Reason::Requested);
        }
        // Also waits until its files are recovered.
        capture.ended().await;
        let removed = if keep_files {
            0
        } else {
            self.remove_files(&capture).await?
        };
        self.forget(&capture).await;
        drop(turn);
        Ok((capture, removed))
    }

    async fn forget(&self, capture: &Arc<Capture>) {
        let name = capture.record().name;
        if let Err(error) = self.inner.store.remove(&name).await {
            tracing::error!("the state of capture {name} could not be removed: {error}");
        }
        let mut captures = self.inner.captures();
        if captures
            .get(&name)
            .is_some_and(|there| Arc::ptr_eq(there, capture))
        {
            captures.remove(&name);
        }
        drop(captures);
        self.inner.announce();
    }

    /// A new follower of all captures.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower::new(Arc::clone(&self.inner))
    }

    /// Resources shared by captures.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.inner.budget
    }

    /// Whether another capture could be started, apart from its size.
    pub fn has_room(&self) -> Result<(), ManagerError> {
        if *self.inner.closing.borrow() {
            return Err(ManagerError::ShuttingDown);
        }
        let limit = self.inner.settings.limits.captures;
        if self.inner.captures().len() >= limit as usize {
            return Err(Exhausted::Known { limit }.into());
        }
        self.inner.budget.take(0, 0)?;
        Ok(())
    }

    /// Saves the counts of running captures periodically, until the daemon ends.
    pub async fn save_counts(&self) {
        run::save_counts(Arc::clone(&self.inner)).await;
    }

    /// How many captures there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.inner.captures().len()).unwrap_or(u32::MAX)
    }

    /// Captures of an earlier daemon whose files are still to be recovered.
    #[must_use]
    pub fn recovering(&self) -> u32 {
        self.inner.recovering.load(Relaxed)
    }

    /// The tick counters of the drain threads of running captures.
    #[must_use]
    pub fn ticks(&self) -> Vec<(String, u64)> {
        let ticks = |capture: Arc<Capture>| {
            let live = capture
                .live()
                .filter(|_| capture.state() == State::Running)?;
            let ticks = live.shared.ticks(live.monitor.ring().used() > 0);
            Some((capture.name().to_string(), ticks))
        };
        self.list().into_iter().filter_map(ticks).collect()
    }

    /// Parent of the captures' directories.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.inner.settings.data_dir
    }

    /// The directory of a capture of this name.
    #[must_use]
    pub fn directory(&self, name: &CaptureName) -> PathBuf {
        self.inner.settings.data_dir.join(name.as_str())
    }

    /// Ends every capture in order. Captures that have not ended within the time are cut short:
    /// their last files stay as `.part`, and the next daemon recovers them.
    pub async fn shut_down(&self, within: Duration) {
        self.inner.closing.send_replace(true);
        let active: Vec<_> = self
            .list()
            .into_iter()
            .filter(|capture| capture.state().is_active())
            .collect();
        for capture in &active {
            capture.stop(Reason::Shutdown);
        }
        let all = async {
            for capture in &active {
                capture.ended().await;
            }
        };
        if timeout(within, all).await.is_err() {
            for capture in &active {
                if let Some(live) = capture.live() {
                    live.shared.abort.store(true, Relaxed);
                }
            }
            tracing::error!(
                "captures did not end within {within:?}; the next start recovers their last files"
            );
        }
    }

    /// Returns when the daemon is about to end.
    pub async fn closing(&self) {
        let mut closing = self.inner.closing.subscribe();
        if closing.wait_for(|closing| *closing).await.is_err() {
            std::future::pending().await
        }
    }
}
