//! Links to reports for people without an account. The token of a link is all that they need.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{error::ApiError, gate::Known, reports, state::App, view};
use crate::{
    access::{Token, token_hash},
    api::{ReportSummary, Role, Share},
    audit,
    database::StoredTask,
    objects::OutputFile,
};

/// Links to one report.
const MOST: u64 = 100;

/// `POST /api/v1/reports/{id}/share`
pub(super) async fn share(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Share>), ApiError> {
    caller.needs(Role::Analyst)?;
    let task = view::visible_report(&app, &caller, &id).await?;
    if app.database.share_count(&task.id).await? >= MOST {
        let detail = format!("the report has {MOST} links already");
        return Err(ApiError::new(StatusCode::CONFLICT, detail).fix("use one of them"));
    }
    let token = Token::new()
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    if !app
        .database
        .share(&token_hash(token.text()), &task.id)
        .await?
    {
        return Err(ApiError::not_found("report"));
    }
    audit::log(&caller.name, "share report", &task.id, "done");
    let share = Share {
        token: token.text().to_owned(),
        path: format!("/#/shared/{}", token.text()),
        expires: view::time(task.expires),
    };
    Ok((StatusCode::CREATED, Json(share)))
}

async fn shared(app: &App, token: &str) -> Result<StoredTask, ApiError> {
    let found = app.database.shared(&token_hash(token)).await?;
    found.ok_or_else(|| ApiError::not_found("shared report"))
}

/// `GET /api/v1/shared/{token}`
pub(super) async fn summary(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Json<ReportSummary>, ApiError> {
    let task = shared(&app, &token).await?;
    let mut report = view::report(&app, &task);
    // Whoever has the link learns no names of accounts and no ids.
    report.owner = String::new();
    report.id = String::new();
    report.has_packets = false;
    Ok(Json(report))
}

/// `GET /api/v1/shared/{token}/report`
pub(super) async fn report(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Response, ApiError> {
    let task = shared(&app, &token).await?;
    reports::output(&app, &task, OutputFile::Report).await
}

/// `GET /api/v1/shared/{token}/html`
pub(super) async fn html(
    State(app): State<App>,
    Path(token): Path<String>,
) -> Result<Response, ApiError> {
    let task = shared(&app, &token).await?;
    reports::output(&app, &task, OutputFile::Html).await
}
