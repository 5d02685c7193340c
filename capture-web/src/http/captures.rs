//! Live captures.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream::{self, Stream};
use serde::Deserialize;

use super::{error::ApiError, gate::Known, state::App};
use crate::{
    api::{
        Capture, CaptureChange, CaptureEventKind, CaptureStart, Captures, ExpressionCheck,
        ExpressionVerdict, NodeAnswers, Nodes, Problem, Role,
    },
    audit,
    live::Live,
};

/// One node of several.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeQuery {
    pub node: Option<String>,
}

/// Where captures are.
pub(super) fn live(app: &App) -> Result<&Live, ApiError> {
    app.live.as_ref().ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "live captures are switched off here")
            .fix("start the server with live = true")
    })
}

/// `GET /api/v1/nodes`
pub(super) async fn nodes(
    State(app): State<App>,
    Known(_): Known,
) -> Result<Json<Nodes>, ApiError> {
    Ok(Json(live(&app)?.nodes().await?))
}

/// `GET /api/v1/captures`
pub(super) async fn list(
    State(app): State<App>,
    Known(_): Known,
) -> Result<Json<Captures>, ApiError> {
    Ok(Json(live(&app)?.captures("").await?))
}

/// `GET /api/v1/captures/{name}`
pub(super) async fn get(
    State(app): State<App>,
    Known(_): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<Json<Vec<Capture>>, ApiError> {
    let mut found = live(&app)?.captures(&name).await?;
    found
        .captures
        .retain(|capture| query.node.as_ref().is_none_or(|node| capture.node == *node));
    if found.captures.is_empty() {
        let unreachable = found.problems.into_values().next();
        return Err(match unreachable {
            Some(problem) => problem.into(),
            None => ApiError::not_found("capture"),
        });
    }
    Ok(Json(found.captures))
}

/// `GET /api/v1/captures/events`
pub(super) async fn events(
    State(app): State<App>,
    Known(_): Known,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    live(&app)?;
    let place = app.event_stream()?;
    let subscription = app.watch.subscribe();
    let stop = app.stop.clone();
    let parts = (subscription, stop, place);
    let events = stream::unfold(parts, async |(mut subscription, stop, place)| {
        let event = tokio::select! {
            event = subscription.next() => event?,
            () = stop.cancelled() => return None,
        };
        let name = match event.kind {
            CaptureEventKind::Capture => "capture",
            CaptureEventKind::Deleted => "deleted",
            CaptureEventKind::Synced => "synced",
            CaptureEventKind::Problem => "problem",
        };
        let event = Event::default().event(name).json_data(&event).ok()?;
        Some((Ok(event), (subscription, stop, place)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// `POST /api/v1/captures`
pub(super) async fn start(
    State(app): State<App>,
    Known(caller): Known,
    body: Result<Json<CaptureStart>, JsonRejection>,
) -> Result<(StatusCode, Json<NodeAnswers>), ApiError> {
    let Json(start) = body?;
    caller.needs(Role::Analyst)?;
    let answers = live(&app)?.start(&caller.name, &start).await;
    let answers = audited(&caller.name, "start capture", &start.name, answers)?;
    Ok((StatusCode::CREATED, answers))
}

/// `PATCH /api/v1/captures/{name}`
pub(super) async fn change(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
    body: Result<Json<CaptureChange>, JsonRejection>,
) -> Result<Json<NodeAnswers>, ApiError> {
    let Json(change) = body?;
    caller.needs(Role::Analyst)?;
    let node = query.node.as_deref();
    let answers = live(&app)?.change(&caller.name, &name, node, &change).await;
    audited(&caller.name, "change capture", &name, answers)
}

/// `POST /api/v1/captures/{name}/stop`
pub(super) async fn stop(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<Json<NodeAnswers>, ApiError> {
    caller.needs(Role::Analyst)?;
    let answers = live(&app)?
        .stop(&caller.name, &name, query.node.as_deref())
        .await;
    audited(&caller.name, "stop capture", &name, answers)
}

/// `DELETE /api/v1/captures/{name}`
pub(super) async fn delete(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<Json<NodeAnswers>, ApiError> {
    caller.needs(Role::Analyst)?;
    let answers = live(&app)?
        .delete(&caller.name, &name, query.node.as_deref())
        .await;
    audited(&caller.name, "delete capture", &name, answers)
}

/// The answers, if at least one node did what was asked, or none had to; otherwise the first one's problem. Either is
/// in the audit log, with the nodes that did it.
fn audited(
    who: &str,
    action: &'static str,
    name: &str,
    answers: Result<NodeAnswers, Box<Problem>>,
) -> Result<Json<NodeAnswers>, ApiError> {
    let answers = answers.map_err(ApiError::from).and_then(|answers| {
        let nodes = &answers.nodes;
        if nodes.is_empty() || nodes.iter().any(|answer| answer.problem.is_none()) {
            return Ok(answers);
        }
        let problem = answers.nodes.into_iter().find_map(|answer| answer.problem);
        Err(problem.map_or_else(|| ApiError::not_found("node"), ApiError::from))
    });
    let outcome = match &answers {
        Ok(answers) => outcome(answers),
        Err(error) => error.clone().problem().detail,
    };
    audit::log(who, action, name, &outcome);
    Ok(Json(answers?))
}

/// "done", or "done on left; refused by right".
fn outcome(answers: &NodeAnswers) -> String {
    let names = |refused: bool| {
        let nodes = answers.nodes.iter();
        let nodes = nodes.filter(|answer| answer.problem.is_some() == refused);
        let names: Vec<&str> = nodes.map(|answer| &*answer.node).collect();
        names.join(", ")
    };
    match names(true) {
        none if none.is_empty() => "done".to_owned(),
        refused => format!("done on {}; refused by {refused}", names(false)),
    }
}

/// `POST /api/v1/expression/check`
pub(super) async fn check(
    State(app): State<App>,
    Known(caller): Known,
    body: Result<Json<ExpressionCheck>, JsonRejection>,
) -> Result<Json<ExpressionVerdict>, ApiError> {
    let Json(check) = body?;
    caller.needs(Role::Analyst)?;
    Ok(Json(live(&app)?.check(&check).await?))
}
