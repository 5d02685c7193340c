//! One capture from its start to its end, as a task.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Inner, ManagerError,
    budget::Share,
    capture::{Capture, Live},
    record::{Counts, SessionStart},
    state::{Reason, State},
    store::Save,
};
use crate::cut::cut;
use capture_pipeline::FailureKind;
use capture_session::{EndReason, Report, Session, SessionError};
use capture_types::time;

/// How often the bytes of a capture with a byte limit are checked.
const LOOK: Duration = Duration::from_millis(500);

/// How often the counts of running captures are saved, if they have changed.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// Reports whether a capture has started.
type Started = oneshot::Sender<Result<(), ManagerError>>;

/// Starts the task of a pending capture.
pub(super) fn spawn(
    inner: &Arc<Inner>,
    capture: &Arc<Capture>,
    share: Share,
) -> oneshot::Receiver<Result<(), ManagerError>> {
    let (started, starts) = oneshot::channel();
    let (inner, capture) = (Arc::clone(inner), Arc::clone(capture));
    let runtime = inner.settings.runtime.clone();
    runtime.spawn(async move {
        // If the daemon dies from here on, the record shows that the capture was requested.
        if let Err(error) = inner.try_save(&capture, Save::LeaveReserve).await {
            drop(share);
            let error = ManagerError::State(error);
            tracing::warn!("capture {} could not be started: {error}", capture.name());
            fail(&capture, Reason::StartFailed, error.to_string());
            // The requester may be gone.
            let _ = started.send(Err(error));
            inner.announce();
            capture.settle();
            return;
        }
        let task = run(Arc::clone(&inner), Arc::clone(&capture), share, started);
        if tokio::spawn(task).await.is_err() {
            fail(
                &capture,
                Reason::Internal,
                Reason::Internal.sentence().to_owned(),
            );
            inner.save(&capture).await;
            inner.announce();
        }
        capture.settle();
    });
    starts
}

/// Runs a pending capture to its end.
async fn run(inner: Arc<Inner>, capture: Arc<Capture>, share: Share, started: Started) {
    let record = capture.record();
    let name = record.name.clone();
    let spec = record.request.session_spec(record.totals.total.written);
    let session = match Session::start(spec, inner.settings.session.clone()).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(
                "capture {name} could not be started: {}",
                cut(&error.to_string(), 500)
            );
            drop(share);
            fail(&capture, Reason::StartFailed, error.to_string());
            inner.save(&capture).await;
            // The requester may be gone.
            let _ = started.send(Err(error.into()));
            return inner.announce();
        }
    };
    let begun = session.monitor().progress().begun();
    capture.change(|record| {
        record.session = begun.map(|begun| SessionStart {
            before: record.totals.written(),
            begun,
        });
    });
    capture.goes_live(Live {
        monitor: session.monitor(),
        shared: session.drain_state(),
        control: session.control(),
    });
    capture.change(|record| {
        record.state = State::Running;
        let now = time::now();
        record.started.get_or_insert(now);
        if let Some(away) = record.away.take() {
            record.warnings.push(away.until(now));
        }
    });
    inner.save(&capture).await;
    inner.announce();
    tracing::info!("capture {name} runs");
    let _ = started.send(Ok(()));

    let mut pods = session.monitor().follow_pods();
    let mut why = None;
    let ended = session.run(async {
        let reason = until_it_should_end(&capture).await;
        why = Some(reason);
        capture.change(|record| {
            record.state = State::Stopping;
            record.state_reason = Some(reason);
        });
        inner.announce();
        EndReason::Stopped
    });
    let announce_pods = async {
        while pods.changed().await.is_ok() {
            inner.announce();
        }
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = ended => ended,
        never = announce_pods => match never {},
    };
    finish(&inner, &capture, why, ended, share).await;
    inner.announce();
}

/// Returns the reason why the capture should end, unless the session ends by itself. Nothing here wakes
/// up while a capture without limits is idle.
async fn until_it_should_end(capture: &Capture) -> Reason {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let record = capture.record();
        let now = time::now();
        let end = record.request.ends_at(record.started.unwrap_or(now));
        let left = end.map(|end| Duration::from_nanos(end.saturating_sub(now)));
        let most = record.request.stop.bytes;
        tokio::select! {
            reason = capture.asked_to_stop() => return reason,
            () = capture.when_limits_change() => {}
            () = after(left) => {
                // The system's clock may have been set: check again.
                if end.is_some_and(|end| time::now() >= end) {
                    return match record.request.stop.deadline {
                        Some(deadline) if end == Some(deadline) => Reason::Deadline,
                        _ => Reason::Duration,
                    };
                }
            }
            _ = looks.tick(), if most.is_some() => {
                let written = capture.live().map_or(0, |live| live.monitor.progress().bytes());
                if most.is_some_and(|most| record.totals.bytes + written >= most) {
                    return Reason::Bytes;
                }
            }
        }
    }
}

/// Saves the counts of running captures periodically, until the daemon ends.
pub(super) async fn save_counts(inner: Arc<Inner>) {
    let mut saved: HashMap<String, Arc<Counts>> = HashMap::new();
    let mut looks = interval(CHECKPOINT);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let captures: Vec<_> = inner.captures().values().cloned().collect();
        let mut now = HashMap::new();
        for capture in captures {
            if capture.state() != State::Running {
                continue;
            }
            let counts = capture.counts();
            let last = saved.get(&counts.uid);
            let changed = last.is_none_or(|last| last.totals != counts.totals);
            if changed || capture.is_unsaved() {
                inner.save(&capture).await;
            }
            now.insert(counts.uid.clone(), counts);
        }
        saved = now;
    }
}

/// A wait for a distant end is interrupted to check the clock again.
async fn after(left: Option<Duration>) {
    const LONGEST: Duration = Duration::from_secs(60);
    match left {
        Some(left) => sleep(left.min(LONGEST)).await,
        None => std::future::pending().await,
    }
}

async fn finish(
    inner: &Inner,
    capture: &Capture,
    why: Option<Reason>,
    ended: Result<Report, SessionError>,
    share: Share,
) {
    let (reason, message) = match &ended {
        Err(error) => (Reason::Internal, error.to_string()),
        Ok(report) => {
            let reason = match (report.failure_kind, &report.failure) {
                (Some(FailureKind::DiskFull), _) => Reason::DiskFull,
                (Some(FailureKind::WriteError), _) => Reason::WriteError,
                (None, Some(_)) => Reason::Ledger,
                (None, None) => why.unwrap_or(match report.reason {
                    EndReason::Packets => Reason::Packets,
                    EndReason::Duration => Reason::Duration,
                    EndReason::Stopped => Reason::Requested,
                    EndReason::Failed => Reason::Internal,
                }),
            };
            (
                reason,
                report
                    .failure
                    .clone()
                    .unwrap_or_else(|| reason.sentence().to_owned()),
            )
        }
    };
    capture.ends_live(ended.as_ref().ok());
    // Whoever waits for the end may start another capture at once.
    drop(share);
    let state = reason.final_state();
    capture.change(|record| {
        record.state = state;
        record.state_reason = Some(reason);
        record.message.clone_from(&message);
        record.ended = Some(time::now());
    });
    let record = capture.record();
    if state == State::Failed {
        tracing::error!("capture {} failed: {message}", record.name);
    } else {
        tracing::info!("capture {} is {state}: {message}", record.name);
    }
    inner.save(capture).await;
}

/// Ends a capture that never ran.
pub(super) fn fail(capture: &Capture, reason: Reason, message: String) {
    capture.change(|record| {
        record.state = reason.final_state();
        record.state_reason = Some(reason);
        record.message = message;
        record.ended = Some(time::now());
    });
}
