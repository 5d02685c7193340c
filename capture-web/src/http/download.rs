//! Files of captures: one of them, or all of them merged or analysed.

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
        },
    },
    response::{IntoResponse as _, Response},
};
use tokio::{fs::File, io::AsyncWriteExt as _};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{
    captures::{NodeQuery, live},
    error::ApiError,
    gate::Known,
    packets::{directory, packets},
    state::App,
    upload::{Reserved, check_room},
};
use crate::{
    access::Caller,
    api::{Accepted, FileListing, Role},
    audit,
    database::Source,
    worker::{Order, Work},
};

/// `GET /api/v1/captures/{name}/files`
pub(super) async fn list(
    State(app): State<App>,
    Known(_): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<Json<FileListing>, ApiError> {
    let node = query.node.as_deref();
    Ok(Json(live(&app)?.files(&name, node).await?))
}

/// `GET /api/v1/captures/{name}/files/{file}`
pub(super) async fn file(
    State(app): State<App>,
    Known(caller): Known,
    Path((name, file)): Path<(String, String)>,
    Query(query): Query<NodeQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let offset = offset(&headers)?;
    let node = query.node.as_deref();
    let download = live(&app)?
        .download(&caller.name, &name, node, &file, offset.unwrap_or(0))
        .await?;
    audit::log(
        &caller.name,
        "download file",
        &format!("{name}/{file}"),
        "done",
    );
    let pieces = ReceiverStream::new(download.pieces)
        .map(|piece| piece.map_err(|problem| std::io::Error::other(problem.detail)));
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(value) = HeaderValue::from_str(&disposition(&file)) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    if let Some(bytes) = download.bytes {
        let rest = bytes.saturating_sub(offset.unwrap_or(0));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(rest));
        if let Some(offset) = offset {
            if offset >= bytes {
                let detail = format!("the file has {bytes} bytes");
                return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
                    .at("Range", &offset.to_string()));
            }
            let range = format!("bytes {offset}-{}/{bytes}", bytes - 1);
            if let Ok(value) = HeaderValue::from_str(&range) {
                headers.insert(CONTENT_RANGE, value);
            }
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
    }
    Ok(response)
}

/// The name for the browser. Letters that could end the header or become a path are replaced.
fn disposition(file: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String = file
        .chars()
        .map(|letter| if safe(letter) { letter } else { '_' })
        .collect();
    format!("attachment; filename=\"{name}\"")
}

/// The first byte that is asked for. Only ranges to the end are supported; others may be ignored (RFC 9110, 14.2).
fn offset(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return Ok(None);
    };
    let from = range
        .strip_prefix("bytes=")
        .and_then(|rest| rest.strip_suffix('-'));
    match from {
        Some(from) => from.parse().map(Some).map_err(|_| {
            ApiError::invalid("Range", range, "this is no range").fix("send bytes=N-")
        }),
        None => Ok(None),
    }
}

/// A finished file of a capture, and its node.
struct Finished {
    node: String,
    file: String,
    bytes: u64,
}

/// The finished files of a capture, at least one.
async fn finished(
    app: &App,
    name: &str,
    node: Option<&str>,
    most: u64,
) -> Result<Vec<Finished>, ApiError> {
    let listing = live(app)?.files(name, node).await?;
    let mut files = Vec::new();
    for of_node in listing.nodes {
        if let Some(problem) = of_node.problem {
            return Err(problem.into());
        }
        for file in of_node.files {
            if matches!(&*file.state, "finished" | "recovered") {
                files.push(Finished {
                    node: of_node.node.clone(),
                    file: file.name,
                    bytes: file.bytes,
                });
            }
        }
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    if files.is_empty() {
        let detail = format!("capture {name:?} has no finished file yet");
        return Err(ApiError::new(StatusCode::CONFLICT, detail)
            .fix("stop the capture, or wait for the next file"));
    }
    if bytes > most {
        let detail = format!("its files have {bytes} bytes, and {most} are allowed");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            .fix("use capturectl, or raise the limit in the settings"));
    }
    Ok(files)
}

/// `GET /api/v1/captures/{name}/merged`
pub(super) async fn merged(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<Response, ApiError> {
    let most = app.settings.bounds.file_bytes;
    let files = finished(&app, &name, query.node.as_deref(), most).await?;
    let turn = app.packet_job().await?;
    let inputs = directory(&app)?;
    let (mut paths, mut names) = (Vec::new(), Vec::new());
    for (number, file) in files.iter().enumerate() {
        check_room(&app)?;
        let path = inputs.path().join(number.to_string());
        let failed = |error: std::io::Error| {
            tracing::warn!("fetching a file: {error}");
            ApiError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "there is no room for the files",
            )
        };
        let mut local = File::create(&path).await.map_err(failed)?;
        let mut download = fetch(&app, &caller, &name, file).await?;
        while let Some(piece) = download.pieces.recv().await {
            local.write_all(&piece?).await.map_err(failed)?;
        }
        local.flush().await.map_err(failed)?;
        paths.push(path);
        names.push(file.node.clone());
    }
    let output = directory(&app)?;
    let order = Order {
        inputs: paths,
        names,
        output: output.path().to_owned(),
        work: Work::Merge,
        bounds: app.settings.bounds,
    };
    let response = packets(&app, &order, output).await;
    drop(turn);
    let outcome = if response.is_ok() { "done" } else { "failed" };
    audit::log(&caller.name, "download merged", &name, outcome);
    response
}

async fn fetch(
    app: &App,
    caller: &Caller,
    name: &str,
    file: &Finished,
) -> Result<crate::live::Download, ApiError> {
    let node = Some(&*file.node);
    Ok(live(app)?
        .download(&caller.name, name, node, &file.file, 0)
        .await?)
}

/// `POST /api/v1/captures/{name}/analyze`
pub(super) async fn analyze(
    State(app): State<App>,
    Known(caller): Known,
    Path(name): Path<String>,
    Query(query): Query<NodeQuery>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    caller.needs(Role::Analyst)?;
    let most = app.settings.uploads.bytes;
    let files = finished(&app, &name, query.node.as_deref(), most).await?;
    let mut reserved = Reserved::new(&app, &caller, &name, Source::Capture).await?;
    let (mut names, mut bytes) = (Vec::new(), 0);
    for (number, file) in files.iter().enumerate() {
        let mut writer = reserved.create(number).await?;
        let mut download = fetch(&app, &caller, &name, file).await?;
        while let Some(piece) = download.pieces.recv().await {
            let piece = piece?;
            bytes += piece.len() as u64;
            writer.write(piece).await?;
            reserved.keep().await?;
        }
        writer.finish().await?;
        names.push(format!("{}: {}", file.node, file.file));
    }
    let accepted = reserved.submit(bytes, &names).await?;
    audit::log(&caller.name, "analyze capture", &name, "done");
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
