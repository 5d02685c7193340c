//! Long work for requests, such as compiling a filter: off the control threads, one job at a time for
//! each client.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};
use tonic::Status;

/// Concurrent jobs of all clients together.
const AT_ONCE: usize = 4;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// The queue of jobs.
#[derive(Debug)]
pub struct Compilers {
    all: Arc<Semaphore>,
    /// Clients with waiting or running jobs.
    clients: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl Default for Compilers {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ONCE)),
            clients: Mutex::default(),
        }
    }
}

impl Compilers {
    /// Runs a job for a client. A job that has started is finished even if the client disconnects.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        who: &Arc<str>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let own = self.of(who);
        let turns = async {
            let own = own.acquire_owned().await;
            let all = Arc::clone(&self.all).acquire_owned().await;
            own.ok().zip(all.ok())
        };
        let Ok(Some(turns)) = timeout(PATIENCE, turns).await else {
            return Err(Status::resource_exhausted(
                "other requests compile filters; try again when they are done",
            ));
        };
        let done = tokio::task::spawn_blocking(move || {
            let _turns = turns;
            work()
        });
        done.await
            .map_err(|_| Status::internal("internal error; see the daemon's log"))
    }

    fn of(&self, who: &Arc<str>) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Clients without jobs are removed.
        clients.retain(|_, own| Arc::strong_count(own) > 1 || own.available_permits() == 0);
        let own = clients
            .entry(Arc::clone(who))
            .or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(own)
    }
}
