//! Log in, log out, and who the caller is.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE},
    response::{IntoResponse as _, Response},
};

use super::{
    error::ApiError,
    gate::{Known, Peer},
    state::App,
};
use crate::{
    access::{Caller, LoginError, cleared_cookie, cookie_of, set_cookie, token_hash},
    api::{self, Credentials, Role, Session, UploadLimits},
    audit,
};

/// `GET /api/v1/session`
pub(super) async fn session(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
) -> Result<Json<Session>, ApiError> {
    let caller = app.access.caller(&headers, peer).await?;
    Ok(Json(described(&app, caller)))
}

fn described(app: &App, caller: Option<Caller>) -> Session {
    let uploads = &app.settings.uploads;
    let role = caller.as_ref().map(|caller| caller.role);
    Session {
        role,
        authentication: app.access.authentication(),
        csrf: caller.as_ref().and_then(|caller| caller.csrf.clone()),
        user: caller.map(|caller| caller.name),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uploads: UploadLimits {
            bytes: uploads.bytes,
            files: uploads.files,
            report_seconds: app.settings.keep.as_secs(),
        },
        live: app.live.as_ref().map(|live| api::Live {
            mode: live.mode(),
            may_change: role >= Some(Role::Analyst),
            reason: None,
        }),
        redacted: app.settings.redaction_key.is_some(),
    }
}

/// `POST /api/v1/login`
pub(super) async fn login(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(credentials) = body?;
    let Some(logins) = &app.logins else {
        return Err(
            ApiError::new(StatusCode::NOT_FOUND, "this server has no accounts")
                .fix("use it without a login"),
        );
    };
    let client = peer.ip().to_string();
    let begun = logins
        .begin(&credentials.user, &credentials.password, &client)
        .await;
    let (account, token, csrf) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            app.metrics.login(false);
            audit::log(&credentials.user, "log in", &client, &error.to_string());
            return Err(match error {
                LoginError::Wrong => ApiError::new(StatusCode::UNAUTHORIZED, error.to_string()),
                LoginError::Wait(wait) => {
                    ApiError::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).after(wait)
                }
                LoginError::Database(error) => error.into(),
                LoginError::System(_) => {
                    tracing::error!("{error}");
                    ApiError::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the login cannot be checked",
                    )
                }
            });
        }
    };
    app.metrics.login(true);
    audit::log(&account.name, "log in", &client, "done");
    let caller = Caller::new(account.name, account.role).with_csrf(csrf);
    // Behind a proxy with TLS the browser must not send it without TLS either.
    let is_https = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let over_tls = app.settings.tls.is_some() || is_https;
    let cookie = set_cookie(token.text(), logins.length, over_tls);
    with_cookie(Json(described(&app, Some(caller))).into_response(), &cookie)
}

/// `POST /api/v1/logout`
pub(super) async fn logout(
    State(app): State<App>,
    Known(caller): Known,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(token) = cookie_of(&headers) {
        app.database.end_session(&token_hash(token)).await?;
        audit::log(&caller.name, "log out", "", "done");
    }
    with_cookie(StatusCode::NO_CONTENT.into_response(), &cleared_cookie())
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, ApiError> {
    let value = HeaderValue::from_str(cookie)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    response.headers_mut().insert(SET_COOKIE, value);
    Ok(response)
}
