//! Errors as answers: `application/problem+json`.

use std::{sync::LazyLock, time::Duration};

use axum::{
    Json,
    extract::rejection::JsonRejection,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use crate::{
    access::{Denied, OriginError, Rates},
    api::Problem,
    database::DatabaseError,
    objects::ObjectError,
    queue::RemovalError,
};

/// The most letters of a value in an answer.
const MOST_LETTERS: usize = 100;
/// How long to wait for a database or a storage that is away.
const AWAY: Duration = Duration::from_secs(5);

/// Warnings of each kind per minute: requests that fail for the same reason do not flood the log.
static WARNINGS: LazyLock<Rates> = LazyLock::new(|| Rates::new(20));

fn warn(kind: &str, error: &dyn std::fmt::Display) {
    if WARNINGS.take(kind).is_ok() {
        tracing::warn!("{error}");
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub(super) struct ApiError(Box<Problem>);

impl ApiError {
    /// A status and what is wrong.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            title: status
                .canonical_reason()
                .unwrap_or("Unknown Error")
                .to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            value: None,
            fix: None,
            retry_after: None,
        }))
    }

    /// A field of the request is wrong.
    pub(super) fn invalid(field: &str, value: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail).at(field, value)
    }

    /// There is no such thing, or the caller may not know of it.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// It is not possible now.
    pub(super) fn unavailable(detail: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(wait)
    }

    /// Adds the field and its value.
    #[must_use]
    pub(super) fn at(mut self, field: &str, value: &str) -> Self {
        self.0.field = Some(field.to_owned());
        self.0.value = Some(value.chars().take(MOST_LETTERS).collect());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.0.fix = Some(fix.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub(super) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait.as_secs().max(1));
        self
    }

    /// The problem.
    pub(super) fn problem(self) -> Problem {
        *self.0
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let wait = self.0.retry_after;
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Box<Problem>> for ApiError {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

/// The disk has no room.
fn full(error: &dyn std::fmt::Display) -> ApiError {
    warn("room", error);
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full")
        .fix("delete reports, or try again later")
        .after(AWAY * 12)
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        if let DatabaseError::Full = error {
            return full(&error);
        }
        // What the database says may name its host; it is for the log only.
        warn("database", &error);
        Self::unavailable("the database does not answer", AWAY)
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(_) => Self::not_found("file"),
            ObjectError::Full(_) => full(&error),
            ObjectError::Failed { .. } => {
                warn("storage", &error);
                Self::unavailable("the storage does not answer", AWAY)
            }
        }
    }
}

impl From<RemovalError> for ApiError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Database(error) => error.into(),
            RemovalError::Object(error) => error.into(),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::new(StatusCode::FORBIDDEN, denied.to_string())
            .fix("ask an administrator of this server for the role")
    }
}

impl From<OriginError> for ApiError {
    fn from(error: OriginError) -> Self {
        let refused = Self::new(StatusCode::FORBIDDEN, error.to_string());
        match error {
            OriginError::OtherSite(_) => refused.fix("use the page of this server"),
            OriginError::OtherHost(_) => refused.fix("use http://127.0.0.1 or http://localhost"),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let refused = Self::new(status, rejection.body_text());
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            refused.fix("send the header Content-Type: application/json")
        } else {
            refused.fix("docs/openapi.v1.json describes the body")
        }
    }
}
