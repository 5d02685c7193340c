//! Who sent a request: the last step before a handler.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{error::ApiError, state::App};
use crate::{
    access::{self, Caller, Mode},
    audit,
};

/// The header that repeats the token of a session.
const CSRF: &str = "x-csrf-token";

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub SocketAddr);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        peer(parts)
            .map(Self)
            .ok_or_else(|| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "no client address"))
    }
}

fn peer(parts: &Parts) -> Option<SocketAddr> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(address)| *address)
}

/// A caller who has proven who they are.
#[derive(Debug, Clone)]
pub(super) struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Peer(peer) = Peer::from_request_parts(parts, app).await?;
        let caller = app.access.caller(&parts.headers, peer).await?;
        let Some(caller) = caller else {
            return Err(
                ApiError::new(StatusCode::UNAUTHORIZED, "this needs a session or a token")
                    .fix("log in, or send the header Authorization: Bearer TOKEN"),
            );
        };
        let is_safe = matches!(parts.method, Method::GET | Method::HEAD);
        if let Some(expected) = caller.csrf.as_ref().filter(|_| !is_safe) {
            let sent = parts.headers.get(CSRF).map(HeaderValue::as_bytes);
            if !sent.is_some_and(|sent| is_same(sent, expected.as_bytes())) {
                audit::log(
                    &caller.name,
                    "request",
                    parts.uri.path(),
                    "refused: no CSRF token",
                );
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "the header X-CSRF-Token is missing or wrong",
                )
                .fix("send the csrf of GET /api/v1/session"));
            }
        }
        Ok(Self(caller))
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |differ, (one, other)| differ | (one ^ other))
            == 0
}

/// Refuses requests of other sites' pages, counts answers and sets the headers that every answer has.
pub(super) async fn every(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_local = matches!(app.access.mode, Mode::Open) && app.settings.listen.ip().is_loopback();
    let is_api = request.uri().path().starts_with("/api/");
    let checked = access::check_origin(request.method(), request.headers(), is_local);
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    };
    app.metrics.answered(response.status());
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set("content-security-policy", POLICY);
    set("x-content-type-options", "nosniff");
    set("referrer-policy", "no-referrer");
    set("cross-origin-resource-policy", "same-origin");
    set("cross-origin-opener-policy", "same-origin");
    if is_api {
        set("cache-control", "no-store");
    }
    response
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The policy of a report's page, which has its styles in it and nothing else.
pub(super) const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; frame-ancestors 'none'";
