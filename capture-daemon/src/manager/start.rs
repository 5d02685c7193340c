//! Admitting a new capture and starting it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use super::{
    Capture, CaptureRequest, Exhausted, MADE_UP_NAME, Manager, ManagerError, Reason, State, run,
};
use capture_session::{
    SessionError,
    interfaces::{Selection, Watch},
};
use capture_types::{CaptureName, InterfacePattern};

impl Manager {
    /// Starts a capture. When this returns it is attached, or nothing is left behind. A request
    /// with a known request id returns the capture that it started.
    pub async fn start(&self, request: CaptureRequest) -> Result<Arc<Capture>, ManagerError> {
        let (capture, started) = self.admit(request)?;
        let Some(started) = started else {
            return self.repeated(capture).await;
        };
        match started.await {
            Ok(Ok(())) => Ok(capture),
            Ok(Err(error)) => {
                self.forget(&capture).await;
                Err(error)
            }
            Err(_) => {
                run::fail(
                    &capture,
                    Reason::Internal,
                    Reason::Internal.sentence().to_owned(),
                );
                Err(ManagerError::Internal)
            }
        }
    }

    /// For a repeated request: waits for its capture, which may still be starting.
    async fn repeated(&self, capture: Arc<Capture>) -> Result<Arc<Capture>, ManagerError> {
        let mut version = self.inner.version.subscribe();
        let pending = |_: &u64| capture.state() != State::Pending;
        let _ = version.wait_for(pending).await;
        Ok(capture)
    }

    /// Checks everything that can be checked before the capture is started.
    pub async fn check(&self, request: &CaptureRequest) -> Result<(), ManagerError> {
        {
            let captures = self.inner.captures();
            if self.find_repeated(&captures, request)?.is_some() {
                return Ok(());
            }
            self.check_new(&captures, request)?;
        }
        self.inner
            .budget
            .take(request.ring_memory(), request.descriptors(interfaces()))?;
        let patterns = request.spec.interfaces.clone();
        let checked = self
            .inner
            .settings
            .runtime
            .spawn(check_interfaces(patterns));
        checked.await.map_err(|_| ManagerError::Internal)?
    }

    fn check_new(
        &self,
        captures: &BTreeMap<CaptureName, Arc<Capture>>,
        request: &CaptureRequest,
    ) -> Result<(), ManagerError> {
        if *self.inner.closing.borrow() {
            return Err(ManagerError::ShuttingDown);
        }
        if let Some(there) = captures.get(&request.spec.name) {
            return Err(ManagerError::Exists {
                name: request.spec.name.to_string(),
                state: there.state(),
            });
        }
        let limit = self.inner.settings.limits.captures;
        if captures.len() >= limit as usize {
            return Err(Exhausted::Known { limit }.into());
        }
        Ok(())
    }

    fn find_repeated(
        &self,
        captures: &BTreeMap<CaptureName, Arc<Capture>>,
        request: &CaptureRequest,
    ) -> Result<Option<Arc<Capture>>, ManagerError> {
        let Some(id) = &request.request_id else {
            return Ok(None);
        };
        for (name, capture) in captures {
            let Some(fingerprint) = capture.requested_by(&request.created_by, id) else {
                continue;
            };
            // A generated name differs from request to request.
            let made_up = request.labels.contains_key(MADE_UP_NAME);
            let same_name = *name == request.spec.name || made_up;
            let same_body = fingerprint.is_none() || fingerprint == request.fingerprint;
            if !same_name || !same_body {
                return Err(ManagerError::RequestReused {
                    id: id.clone(),
                    name: name.to_string(),
                });
            }
            return Ok(Some(Arc::clone(capture)));
        }
        Ok(None)
    }

    /// Adds a new capture and starts it; nothing is started for a repeated request.
    #[expect(clippy::type_complexity, reason = "the line above explains it")]
    fn admit(
        &self,
        request: CaptureRequest,
    ) -> Result<
        (
            Arc<Capture>,
            Option<oneshot::Receiver<Result<(), ManagerError>>>,
        ),
        ManagerError,
    > {
        let mut captures = self.inner.captures();
        if let Some(capture) = self.find_repeated(&captures, &request)? {
            return Ok((capture, None));
        }
        self.check_new(&captures, &request)?;
        let share = self
            .inner
            .budget
            .take(request.ring_memory(), request.descriptors(interfaces()))?;
        let name = request.spec.name.clone();
        let capture = Capture::new(Capture::requested(request), false);
        captures.insert(name, Arc::clone(&capture));
        drop(captures);
        self.inner.announce();
        let starts = run::spawn(&self.inner, &capture, share);
        Ok((capture, Some(starts)))
    }
}

/// The number of interfaces in the network namespace of the daemon.
pub(super) fn interfaces() -> u64 {
    /// Lines before the first interface (proc_pid_net(5)).
    const HEADER: usize = 2;
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    text.lines().skip(HEADER).count() as u64
}

/// Fails if a named interface does not exist.
async fn check_interfaces(patterns: Vec<InterfacePattern>) -> Result<(), ManagerError> {
    let watch = Watch::new().map_err(|source| SessionError::System {
        doing: "subscribing to network interfaces",
        source,
    })?;
    let interfaces = watch.list().await.map_err(SessionError::from)?;
    Selection::new(&patterns, &interfaces).map_err(SessionError::from)?;
    Ok(())
}
