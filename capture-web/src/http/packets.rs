//! Packets as a file: those of a finding.

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::{error::ApiError, gate::Known, state::App, view};
use crate::{
    audit,
    objects::Key,
    scratch::WorkDirectory,
    worker::{Order, Outcome, PACKETS, Progress, Work},
};

const READ_BYTES: usize = 256 << 10;

/// The query of packets.
#[derive(Debug, Deserialize)]
pub(super) struct PacketsQuery {
    finding: Option<String>,
}

/// `GET /api/v1/reports/{id}/packets`
pub(super) async fn of_finding(
    State(app): State<App>,
    Known(caller): Known,
    Path(id): Path<String>,
    Query(query): Query<PacketsQuery>,
) -> Result<Response, ApiError> {
    let task = view::visible_report(&app, &caller, &id).await?;
    if app.settings.redaction_key.is_some() {
        let detail = "reports are redacted here, and packets are not handed out";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let finding = query.finding.ok_or_else(|| {
        ApiError::invalid("finding", "", "which finding?").fix("send finding=ID of the report")
    })?;
    let turn = app.packet_job().await?;
    let inputs = directory(&app)?;
    let mut paths = Vec::new();
    for number in 0..task.names.len() {
        let key = Key::Input {
            task: task.id.clone(),
            number,
        };
        paths.push(app.objects.local(&key, inputs.path()).await?);
    }
    let output = directory(&app)?;
    let order = Order {
        inputs: paths,
        names: task.names.clone(),
        output: output.path().to_owned(),
        work: Work::Extract {
            finding: finding.clone(),
        },
        bounds: app.settings.bounds,
    };
    let response = packets(&app, &order, output).await;
    drop(turn);
    let outcome = if response.is_ok() { "done" } else { "failed" };
    audit::log(&caller.name, "download packets", &task.id, outcome);
    response
}

/// A directory for work in progress.
pub(super) fn directory(app: &App) -> Result<WorkDirectory, ApiError> {
    app.scratch.directory().map_err(|error| {
        tracing::warn!("a directory for work in progress: {error}");
        ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "there is no room to work in",
        )
    })
}

/// Runs an order that writes packets, and sends them.
pub(super) async fn packets(
    app: &App,
    order: &Order,
    output: WorkDirectory,
) -> Result<Response, ApiError> {
    let (progress, _) = watch::channel(Progress::default());
    let outcome = app.worker.run(order, &progress).await;
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!("packets: {error}");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the packets cannot be written",
        )
    };
    match outcome.map_err(|error| failed(&error))? {
        Outcome::Done(_) => {}
        Outcome::Failed(failure) => {
            let problem = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, failure.detail);
            return Err(match failure.fix {
                Some(fix) => problem.fix(fix),
                None => problem,
            });
        }
        Outcome::Lost(how) => return Err(failed(&how)),
    }
    let file = tokio::fs::File::open(order.output.join(PACKETS)).await;
    let file = file.map_err(|error| failed(&error))?;
    let bytes = file.metadata().await.map_err(|error| failed(&error))?.len();
    // The directory is removed when everything was sent, or the client is gone.
    let stream = ReaderStream::with_capacity(file, READ_BYTES).map(move |part| {
        let _ = &output;
        part
    });
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-pcapng"),
    );
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"packets.pcapng\""),
    );
    Ok(response)
}
