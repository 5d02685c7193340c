//! Reports: the list, one of them, two side by side.

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use capture_analysis::report::{Report, compare as compared};
use futures_util::TryStreamExt as _;
use serde::Deserialize;

use super::{
    error::ApiError,
    gate::{Known, REPORT_POLICY},
    state::App,
    view,
};
use crate::{
    api::{Comparison, Measure, ReportSummary, Reports, Role},
    audit,
    database::{Filter, StoredTask},
    objects::{Key, OutputFile, is_id},
};

/// Reports per page.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 200;
/// Letters of a search.
const LONGEST_SEARCH: usize = 200;
/// Bytes of a report that is read into memory to compare it.
const LARGEST_COMPARED: u64 = 64 << 20;

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    search: String,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// `GET /api/v1/reports`
pub(super) async fn list(
    State(app): State<App>,
    Known(caller): Known,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Reports>, ApiError> {
    let Query(query) = query.map_err(|error| {
        ApiError::invalid("query", "", error.body_text()).fix("give search, limit or cursor")
    })?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid(
            "limit",
            &limit.to_string(),
            format!("a page has 1 to {LARGEST_PAGE} reports"),
        ));
    }
    if query.search.chars().count() > LONGEST_SEARCH {
        let detail = format!("a search has at most {LONGEST_SEARCH} letters");
        return Err(ApiError::invalid("search", &query.search, detail));
    }
    let filter = Filter {
        owner: (caller.role < Role::Admin).then(|| caller.name.clone()),
        search: query.search,
        after: query.cursor.as_deref().map(cursor).transpose()?,
    };
    let mut found = app.database.reports(&filter, limit + 1).await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_more);
    Ok(Json(Reports {
        next: next.map(|last| format!("{}-{}", last.created, last.id)),
        reports: found.iter().map(|one| view::report(&app, one)).collect(),
    }))
}

fn cursor(text: &str) -> Result<(i64, String), ApiError> {
    let parsed = text.split_once('-').and_then(|(time, id)| {
        let time = time.parse().ok()?;
        is_id(id).then(|| (time, id.to_owned()))
    });
    parsed.ok_or_else(|| {
        ApiError::invalid("cursor", text, "this is no cursor").fix("send `next` of the page before")
    })
}

/// `GET /api/v1/reports/{id}`
pub(super) async fn summary(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<Json<ReportSummary>, ApiError> {
    let task = view::visible_report(&app, &caller, &id).await?;
    Ok(Json(view::report(&app, &task)))
}

/// `DELETE /api/v1/reports/{id}`: of a task that has not ended, too.
pub(super) async fn remove(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.needs(Role::Analyst)?;
    let task = view::visible(&app, &caller, &id).await?;
    app.removal.remove(&task.id).await?;
    audit::log(&caller.name, "delete report", &task.id, "done");
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/reports/{id}/report`
pub(super) async fn report(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let task = view::visible_report(&app, &caller, &id).await?;
    output(&app, &task, OutputFile::Report).await
}

/// `GET /api/v1/reports/{id}/html`
pub(super) async fn html(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let task = view::visible_report(&app, &caller, &id).await?;
    output(&app, &task, OutputFile::Html).await
}

/// A file of a report.
pub(super) async fn output(
    app: &App,
    task: &StoredTask,
    file: OutputFile,
) -> Result<Response, ApiError> {
    let reader = app.objects.read(&key(task, file)).await?;
    let bytes = reader.bytes;
    let mut response = Body::from_stream(reader.stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    match file {
        OutputFile::Report => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        OutputFile::Html => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            );
            headers.insert(
                CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(REPORT_POLICY),
            );
        }
    }
    Ok(response)
}

fn key(task: &StoredTask, file: OutputFile) -> Key {
    Key::Output {
        task: task.id.clone(),
        attempt: task.attempt,
        file,
    }
}

/// The query of a comparison.
#[derive(Debug, Deserialize)]
pub(super) struct CompareQuery {
    a: Option<String>,
    b: Option<String>,
}

/// `GET /api/v1/reports/compare`
pub(super) async fn compare(
    State(app): State<App>,
    Known(caller): Known,
    Query(query): Query<CompareQuery>,
) -> Result<Json<Comparison>, ApiError> {
    let given = |field, id: Option<String>| {
        id.ok_or_else(|| ApiError::invalid(field, "", "give two reports").fix("send a=ID and b=ID"))
    };
    let (a, b) = (given("a", query.a)?, given("b", query.b)?);
    // The two are as large as a report may be: others wait.
    let _turn = app.packet_job().await?;
    let a = view::visible_report(&app, &caller, &a).await?;
    let b = view::visible_report(&app, &caller, &b).await?;
    let (one, other) = (content(&app, &a).await?, content(&app, &b).await?);
    let measures = |list: Vec<compared::Measure>| {
        list.into_iter()
            .map(|measure| Measure {
                name: measure.name,
                a: measure.one,
                b: measure.other,
            })
            .collect()
    };
    Ok(Json(Comparison {
        a: view::report(&app, &a),
        b: view::report(&app, &b),
        measures: measures(compared::measures(&one, &other)),
        findings: measures(compared::findings(&one, &other)),
    }))
}

async fn content(app: &App, task: &StoredTask) -> Result<Report, ApiError> {
    let reader = app.objects.read(&key(task, OutputFile::Report)).await?;
    if reader.bytes > LARGEST_COMPARED {
        let detail = format!("{:?} is too large to compare", task.name);
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .fix("download both, and compare with capturectl analyze --compare"));
    }
    let bytes: Vec<u8> = reader
        .stream
        .try_fold(Vec::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await?;
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes)).await;
    match parsed {
        Ok(Ok(report)) => Ok(report),
        _ => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the report {} is damaged", task.id),
        )),
    }
}
