//! The page: static files within the program, so that there is nothing to install, and a browser asks nobody else.
//!
//! The files are in `capture-web/page`: `index.html`, a style sheet, and modules of JavaScript that are served as they
//! were written. What the page may do is said by the Content-Security-Policy of the server.

mod files;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use files::{FILES, INDEX};

/// Routes of the page: `/` and `/assets/...`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { answer(INDEX, &headers) }))
        .route(
            "/assets/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move { answer(&path, &headers) }),
        )
}

/// A file of the page.
struct Asset {
    content_type: &'static str,
    content: &'static [u8],
    /// The first half of its SHA-256, in quotes: 128 bits are enough to tell versions apart.
    tag: String,
}

static ASSETS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let asset = |(path, content): &(&'static str, &'static [u8])| {
        let asset = Asset {
            content_type: content_type(path),
            content,
            tag: tag(content),
        };
        (*path, asset)
    };
    FILES.iter().map(asset).collect()
});

fn tag(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let digits: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

fn answer(path: &str, request: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.get(path) else {
        return (StatusCode::NOT_FOUND, "there is no such file of the page\n").into_response();
    };
    // The names stay the same over versions: a browser keeps the files, and asks each time whether they changed.
    let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-cache"))]);
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(ETAG, tag);
    }
    if has(request, &asset.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    (headers, asset.content).into_response()
}

/// Whether the browser has this version. A proxy that compresses makes the tag a weak one.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one == tag)
}
