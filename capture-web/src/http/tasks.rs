//! Tasks, their progress, the queue and the server's health.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream::{self, Stream};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use super::{error::ApiError, gate::Known, state::App, view};
use crate::{
    access::Caller,
    api::{self, Health, Queue, TaskState},
};

/// When the progress is read again after a change. It comes from the database, so that every replica can tell it.
const FIRST_LOOK: Duration = Duration::from_millis(25);
/// How often it is read when it has not changed for long.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// Reads that may fail in a row: the database may be away for a minute.
const AWAY: u32 = 120;

/// `GET /api/v1/tasks/{id}`
pub(super) async fn task(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<Json<api::Task>, ApiError> {
    let stored = view::visible(&app, &caller, &id).await?;
    view::task(&app, &stored).await.map(Json)
}

/// `GET /api/v1/tasks/{id}/events`
pub(super) async fn events(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let stored = view::visible(&app, &caller, &id).await?;
    let first = view::task(&app, &stored).await?;
    let watch = Watch {
        _place: app.event_stream()?,
        app,
        caller,
        id,
        last: None,
        next: Some(first),
    };
    let events = stream::unfold(watch, Watch::event);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// A task whose changes are told.
struct Watch {
    app: App,
    caller: Caller,
    id: String,
    last: Option<api::Task>,
    next: Option<api::Task>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next change; none after the end of the task.
    async fn event(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let mut failures = 0;
        let mut look = FIRST_LOOK;
        loop {
            if let Some(task) = self.next.take()
                && self.last.as_ref() != Some(&task)
            {
                let event = Event::default().event("task").json_data(&task).ok()?;
                self.last = Some(task);
                return Some((Ok(event), self));
            }
            let ended =
                |task: &api::Task| matches!(task.state, TaskState::Done | TaskState::Failed);
            if self.last.as_ref().is_some_and(ended) {
                return None;
            }
            tokio::select! {
                () = sleep(look) => {}
                () = self.app.stop.cancelled() => return None,
            }
            look = (look * 2).min(LAST_LOOK);
            let read = async {
                let stored = view::visible(&self.app, &self.caller, &self.id).await?;
                view::task(&self.app, &stored).await
            };
            match read.await {
                Ok(task) => {
                    failures = 0;
                    self.next = Some(task);
                }
                Err(error) if error.status() == StatusCode::NOT_FOUND => return None,
                Err(_) => {
                    failures += 1;
                    look = LAST_LOOK;
                    if failures > AWAY {
                        return None;
                    }
                }
            }
        }
    }
}

/// `GET /api/v1/queue`
pub(super) async fn queue(
    State(app): State<App>,
    Known(_): Known,
) -> Result<Json<Queue>, ApiError> {
    let (waiting, running) = app.database.queue().await?;
    let capacity = app.settings.uploads.queue;
    let reason = if waiting >= capacity {
        Some(format!("{waiting} tasks wait already"))
    } else {
        super::upload::check_room(&app)
            .err()
            .map(|error| error.problem().detail)
    };
    Ok(Json(Queue {
        waiting,
        running,
        capacity,
        workers: app.settings.workers,
        accepting: reason.is_none(),
        reason,
    }))
}

/// `GET /api/health`. It needs no caller, and tells nothing that needs one.
pub(super) async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let problems = problems(&app).await;
    let (code, status) = if problems.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "degraded")
    };
    let health = Health {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        problems,
    };
    (code, Json(health))
}

/// Why the server cannot take work.
pub(crate) async fn problems(app: &App) -> Vec<String> {
    let mut problems = Vec::new();
    if app.database.ping().await.is_err() {
        problems.push("the database does not answer".to_owned());
    }
    if app.objects.ping().await.is_err() {
        problems.push("the storage does not answer".to_owned());
    }
    if let Err(error) = super::upload::check_room(app) {
        problems.push(error.problem().detail);
    }
    problems
}
