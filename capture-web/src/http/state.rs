//! What the handlers share.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use crate::{
    access::{Access, Logins, Rates},
    database::Database,
    live::{Live, Watch},
    metrics::Metrics,
    objects::Objects,
    queue::Removal,
    scratch::Scratch,
    settings::Settings,
    worker::Worker,
};

/// Streams of events at once.
const EVENT_STREAMS: usize = 256;
/// Packets that are extracted or merged at once.
const PACKET_JOBS: usize = 2;
/// How long a request for packets waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's state.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// Its parts.
pub struct Parts {
    /// The settings.
    pub settings: Settings,
    /// Tasks and sessions.
    pub database: Database,
    /// Files.
    pub objects: Objects,
    /// Removes tasks.
    pub removal: Removal,
    /// For work in progress.
    pub scratch: Scratch,
    /// Starts child processes.
    pub worker: Worker,
    /// Who callers are.
    pub access: Access,
    /// Logins, where there are accounts.
    pub logins: Option<Logins>,
    /// Captures, where they are switched on.
    pub live: Option<Live>,
    /// Changes of captures.
    pub watch: Watch,
    /// Counters.
    pub metrics: Metrics,
    /// Uploads of each client.
    pub upload_rates: Rates,
    /// Notified when a task was queued.
    pub wake: Arc<Notify>,
    /// Cancelled when the server ends: streams of events end then.
    pub stop: CancellationToken,
    /// Places for streams of events.
    pub event_streams: Arc<Semaphore>,
    /// Turns for packets.
    pub packet_jobs: Arc<Semaphore>,
}

impl Parts {
    /// The turns of event streams and of packets.
    #[must_use]
    pub fn turns() -> (Arc<Semaphore>, Arc<Semaphore>) {
        (
            Arc::new(Semaphore::new(EVENT_STREAMS)),
            Arc::new(Semaphore::new(PACKET_JOBS)),
        )
    }
}

impl App {
    /// Shares the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// A place for a stream of events.
    pub(super) fn event_stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.event_streams).try_acquire_owned();
        place.map_err(|_| {
            ApiError::unavailable(
                format!("there are {EVENT_STREAMS} streams of events already"),
                Duration::from_secs(10),
            )
        })
    }

    /// A turn to extract or merge packets.
    pub(super) async fn packet_job(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = Arc::clone(&self.packet_jobs).acquire_owned();
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "others extract packets at the moment",
            )
            .after(PATIENCE)),
        }
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
