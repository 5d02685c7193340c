//! What is stored, in the words of the API.

use std::time::{Duration, UNIX_EPOCH};

use super::{error::ApiError, state::App};
use crate::{
    access::Caller,
    api::{ReportSource, ReportSummary, Task, TaskState},
    database::{Source, State, StoredTask},
    objects::is_id,
    worker::{Failure, Summary},
};

/// A time in milliseconds since 1970-01-01 UTC as RFC 3339.
pub(super) fn time(milliseconds: i64) -> String {
    let since = Duration::from_millis(milliseconds.unsigned_abs().min(MOST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// 9999-12-31, the last day that RFC 3339 can write.
const MOST: u64 = 253_402_214_400_000;

/// A task, if the caller may see it.
pub(super) async fn visible(app: &App, caller: &Caller, id: &str) -> Result<StoredTask, ApiError> {
    let missing = || ApiError::not_found("task");
    if !is_id(id) {
        return Err(missing());
    }
    let task = app.database.task(id).await?.ok_or_else(missing)?;
    // That somebody else has it is nobody's business.
    if !caller.sees(&task.owner) {
        return Err(missing());
    }
    Ok(task)
}

/// A report, if the caller may see it.
pub(super) async fn visible_report(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<StoredTask, ApiError> {
    let task = visible(app, caller, id).await?;
    if task.state != State::Done {
        return Err(ApiError::not_found("report"));
    }
    Ok(task)
}

/// A task in the words of the API.
pub(super) async fn task(app: &App, stored: &StoredTask) -> Result<Task, ApiError> {
    let position = match stored.state {
        State::Queued => Some(app.database.position(stored).await?),
        _ => None,
    };
    let is_done = stored.state == State::Done;
    let percent = match stored.state {
        State::Done => 100.0,
        _ if stored.bytes == 0 => 0.0,
        _ => (stored.read_bytes as f64 / stored.bytes as f64 * 100.0).clamp(0.0, 99.0),
    };
    let failure = stored.problem.as_deref();
    let failure = failure.and_then(|text| serde_json::from_str::<Failure>(text).ok());
    let problem = failure.map(|failure| {
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        let problem = ApiError::new(status, failure.detail);
        match failure.fix {
            Some(fix) => problem.fix(fix).problem(),
            None => problem.problem(),
        }
    });
    Ok(Task {
        id: stored.id.clone(),
        state: match stored.state {
            State::Uploading => TaskState::Uploading,
            State::Queued => TaskState::Queued,
            State::Running => TaskState::Running,
            State::Done => TaskState::Done,
            State::Failed | State::Removing => TaskState::Failed,
        },
        name: stored.name.clone(),
        bytes: stored.bytes,
        created: time(stored.created),
        position,
        percent,
        packets: if is_done {
            summary(stored).packets
        } else {
            stored.packets
        },
        attempts: u32::try_from(stored.attempt).unwrap_or(u32::MAX),
        report: is_done.then(|| stored.id.clone()),
        problem,
    })
}

fn summary(stored: &StoredTask) -> Summary {
    let text = stored.summary.as_deref();
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// A report in the words of the API.
pub(super) fn report(app: &App, stored: &StoredTask) -> ReportSummary {
    let summary = summary(stored);
    ReportSummary {
        id: stored.id.clone(),
        name: stored.name.clone(),
        source: match stored.source {
            Source::Upload => ReportSource::Upload,
            Source::Capture => ReportSource::Capture,
        },
        owner: stored.owner.clone(),
        created: time(stored.created),
        expires: time(stored.expires),
        files: u32::try_from(stored.names.len()).unwrap_or(u32::MAX),
        bytes: stored.bytes,
        packets: summary.packets,
        complete: summary.complete,
        score: summary.score,
        findings: summary.findings,
        // Packets have what a redacted report hides.
        has_packets: app.settings.redaction_key.is_none(),
    }
}
