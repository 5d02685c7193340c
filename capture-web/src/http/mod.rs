//! The HTTP server: routes, handlers and connections.

mod body;
mod captures;
mod connection;
mod download;
mod error;
mod gate;
mod packets;
mod reports;
mod session;
mod shared;
mod state;
mod tasks;
mod tls;
mod upload;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};

use self::error::ApiError;
use crate::page;

pub use connection::{Listener, serve};
pub use state::{App, Parts};
pub(crate) use tasks::problems;

/// The most bytes of a body in JSON.
const JSON_BYTES: usize = 64 << 10;

/// All routes.
pub fn router(app: App) -> Router {
    let uploads = Router::new()
        .route("/api/v1/uploads", post(upload::upload))
        .route("/api/upload", post(upload::upload))
        // The handler bounds what it reads.
        .layer(DefaultBodyLimit::disable());
    let api = Router::new()
        .route("/api/v1/session", get(session::session))
        .route("/api/v1/login", post(session::login))
        .route("/api/v1/logout", post(session::logout))
        .route("/api/v1/tasks/{id}", get(tasks::task))
        .route("/api/v1/tasks/{id}/events", get(tasks::events))
        .route("/api/v1/queue", get(tasks::queue))
        .route("/api/v1/reports", get(reports::list))
        .route("/api/v1/reports/compare", get(reports::compare))
        .route(
            "/api/v1/reports/{id}",
            get(reports::summary).delete(reports::remove),
        )
        .route("/api/v1/reports/{id}/report", get(reports::report))
        .route("/api/v1/reports/{id}/html", get(reports::html))
        .route("/api/v1/reports/{id}/packets", get(packets::of_finding))
        .route("/api/v1/reports/{id}/share", post(shared::share))
        .route("/api/v1/shared/{token}", get(shared::summary))
        .route("/api/v1/shared/{token}/report", get(shared::report))
        .route("/api/v1/shared/{token}/html", get(shared::html))
        .route("/api/v1/nodes", get(captures::nodes))
        .route(
            "/api/v1/captures",
            get(captures::list).post(captures::start),
        )
        .route("/api/v1/captures/events", get(captures::events))
        .route(
            "/api/v1/captures/{name}",
            get(captures::get)
                .patch(captures::change)
                .delete(captures::delete),
        )
        .route("/api/v1/captures/{name}/stop", post(captures::stop))
        .route("/api/v1/captures/{name}/files", get(download::list))
        .route("/api/v1/captures/{name}/files/{file}", get(download::file))
        .route("/api/v1/captures/{name}/merged", get(download::merged))
        .route("/api/v1/captures/{name}/analyze", post(download::analyze))
        .route("/api/v1/expression/check", post(captures::check))
        .route("/api/progress/{id}", get(tasks::events))
        .route("/api/status/{id}", get(tasks::task))
        .route("/api/history", get(reports::list))
        .route("/api/queue/status", get(tasks::queue))
        .route("/api/health", get(tasks::health))
        .route("/api/reports/{id}", delete(reports::remove))
        .route("/api/reports/{id}/html", get(reports::html))
        .route("/api/reports/{id}/json", get(reports::report))
        .layer(DefaultBodyLimit::max(JSON_BYTES));
    Router::new()
        .merge(uploads)
        .merge(api)
        .merge(page::router())
        .fallback(async || ApiError::not_found("path"))
        .layer(from_fn_with_state(app.clone(), gate::every))
        .with_state(app)
}
