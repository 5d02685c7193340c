//! Uploads: streamed into the storage, never into memory.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Multipart, Request, State, multipart::Field},
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use tokio::time::Instant;

use super::{
    body::{BodyBounds, BodyError, Bounded, Meter},
    error::ApiError,
    gate::{Known, Peer},
    state::App,
    view,
};
use crate::{
    access::Caller,
    api::{Accepted, Role},
    audit,
    database::{NewTask, Source},
    new_id,
    objects::{Key, ObjectWriter},
};

/// Bytes of a form around its files.
const FORM: u64 = 64 << 10;
/// Letters of a file's name.
const LONGEST_NAME: usize = 255;
/// When to try again after the queue was full.
const FULL: Duration = Duration::from_secs(10);

/// `POST /api/v1/uploads`
pub(super) async fn upload(
    State(app): State<App>,
    Known(caller): Known,
    Peer(peer): Peer,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let limits = &app.settings.uploads;
    let (parts, body) = request.into_parts();
    let bounds = BodyBounds {
        bytes: limits.bytes.saturating_add(FORM),
        silence: limits.silence,
        rate: limits.rate,
    };
    // From here on a refused client can read the answer.
    let (body, meter) = Bounded::new(body, bounds);
    let accepted = async {
        caller.needs(Role::Analyst)?;
        let client = format!("{} {}", caller.name, peer.ip());
        if let Err(wait) = app.upload_rates.take(&client) {
            let detail = format!("more than {} uploads in a minute", limits.per_minute);
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, detail).after(wait));
        }
        check_length(&app, &parts.headers)?;
        let request = Request::from_parts(parts, Body::new(body));
        let form = Multipart::from_request(request, &app).await;
        let form = form.map_err(|error| {
            ApiError::invalid("Content-Type", "", error.body_text())
                .fix("send multipart/form-data with the field `file`")
        })?;
        let reserved = Reserved::new(&app, &caller, "upload", Source::Upload).await?;
        reserved.receive(form, &meter).await
    };
    let accepted = accepted.await;
    let outcome = match &accepted {
        Ok(accepted) => {
            app.metrics.uploaded(Some(accepted.task.bytes));
            "done".to_owned()
        }
        Err(error) => {
            app.metrics.uploaded(None);
            error.clone().problem().detail
        }
    };
    let object = accepted.as_ref().map_or("", |accepted| &accepted.task_id);
    audit::log(&caller.name, "upload", object, &outcome);
    Ok((StatusCode::ACCEPTED, Json(accepted?)))
}

fn check_length(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > app.settings.uploads.bytes.saturating_add(FORM) => {
            Err(too_large(app))
        }
        _ => Ok(()),
    }
}

fn too_large(app: &App) -> ApiError {
    let bytes = app.settings.uploads.bytes;
    let detail = format!("an upload has at most {bytes} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        .at("file", "")
        .fix("upload a part of it, compress it, or raise max_upload_size_mb")
}

/// Refuses when the disk is nearly full.
pub(super) fn check_room(app: &App) -> Result<(), ApiError> {
    let least = app.settings.uploads.min_free;
    match crate::free_bytes(&app.settings.data_dir) {
        Some(free) if free < least => Err(ApiError::unavailable(
            format!("only {free} bytes are free on the disk"),
            FULL * 6,
        )
        .fix("delete reports, or try again later")),
        _ => Ok(()),
    }
}

/// A place in the queue, whose files are about to arrive. Dropped before it is submitted, everything is removed.
pub(super) struct Reserved {
    app: App,
    id: Option<String>,
    name: String,
    extended: Instant,
}

impl Reserved {
    /// Takes a place.
    pub(super) async fn new(
        app: &App,
        caller: &Caller,
        name: &str,
        source: Source,
    ) -> Result<Self, ApiError> {
        check_room(app)?;
        let id = new_id()
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let new = NewTask {
            id: id.clone(),
            owner: caller.name.clone(),
            name: name.to_owned(),
            source,
        };
        let capacity = app.settings.uploads.queue;
        if !app.database.reserve(&new, capacity, lease(app)).await? {
            let detail = format!("the queue is full: {capacity} tasks wait");
            return Err(ApiError::unavailable(detail, FULL).fix("try again later"));
        }
        Ok(Self {
            app: app.clone(),
            id: Some(id),
            name: name.to_owned(),
            extended: Instant::now(),
        })
    }

    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Begins a file.
    pub(super) async fn create(&self, number: usize) -> Result<ObjectWriter, ApiError> {
        let key = Key::Input {
            task: self.id().to_owned(),
            number,
        };
        Ok(self.app.objects.create(&key).await?)
    }

    /// Keeps the place; to be called while files arrive.
    pub(super) async fn keep(&mut self) -> Result<(), ApiError> {
        let lease = lease(&self.app);
        if self.extended.elapsed() < lease / 4 {
            return Ok(());
        }
        check_room(&self.app)?;
        if !self.app.database.extend_upload(self.id(), lease).await? {
            return Err(ApiError::unavailable("the upload took too long", FULL));
        }
        self.extended = Instant::now();
        Ok(())
    }

    /// Puts the task into the queue.
    pub(super) async fn submit(
        mut self,
        bytes: u64,
        names: &[String],
    ) -> Result<Accepted, ApiError> {
        let app = self.app.clone();
        let submitted = app
            .database
            .submit(self.id(), &self.name, bytes, names)
            .await?;
        if !submitted {
            return Err(ApiError::unavailable("the upload took too long", FULL));
        }
        let id = self.id.take().unwrap_or_default();
        app.wake.notify_one();
        let stored = app.database.task(&id).await?;
        let stored = stored.ok_or_else(|| ApiError::not_found("task"))?;
        Ok(Accepted {
            task: view::task(&app, &stored).await?,
            task_id: id,
        })
    }

    /// Receives the files of a form.
    async fn receive(mut self, mut form: Multipart, meter: &Meter) -> Result<Accepted, ApiError> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        let app = self.app.clone();
        loop {
            let field = form.next_field().await;
            meter.claim();
            let field = field.map_err(|error| broken(&app, meter, &error.body_text()))?;
            let Some(field) = field else {
                break;
            };
            if field.name() != Some("file") {
                let given = field.name().unwrap_or_default();
                return Err(ApiError::invalid("form", given, "this field is not known")
                    .fix("send capture files in the field `file`"));
            }
            let most = app.settings.uploads.files;
            if names.len() >= most as usize {
                let detail = format!("an upload has at most {most} files");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
                    .at("file", "")
                    .fix("merge them first, or raise max_upload_files"));
            }
            let name = named(field.file_name().unwrap_or_default());
            bytes += self.file(field, names.len(), &name, meter).await?;
            names.push(name);
        }
        match &*names {
            [] => {
                return Err(
                    ApiError::invalid("file", "", "there is no file in the form")
                        .fix("send a capture file in the field `file`"),
                );
            }
            [one] => self.name.clone_from(one),
            [first, more @ ..] => self.name = format!("{first} and {} more", more.len()),
        }
        self.submit(bytes, &names).await
    }

    /// Receives one file; returns its bytes.
    async fn file(
        &mut self,
        mut field: Field<'_>,
        number: usize,
        name: &str,
        meter: &Meter,
    ) -> Result<u64, ApiError> {
        let app = self.app.clone();
        let mut writer = self.create(number).await?;
        let (mut start, mut bytes) = (Vec::new(), 0);
        let mut is_checked = false;
        loop {
            let chunk = field.chunk().await;
            meter.claim();
            let chunk = chunk.map_err(|error| broken(&app, meter, &error.body_text()))?;
            let Some(chunk) = chunk else {
                break;
            };
            bytes += chunk.len() as u64;
            if bytes > app.settings.uploads.bytes {
                return Err(too_large(&app));
            }
            if !is_checked {
                start.extend(chunk.iter().take(MAGIC - start.len()));
                if start.len() == MAGIC {
                    check_magic(&start, name)?;
                    is_checked = true;
                }
            }
            writer.write(chunk).await?;
            self.keep().await?;
        }
        if !is_checked {
            check_magic(&start, name)?;
        }
        writer.finish().await?;
        Ok(bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let removal = self.app.removal.clone();
            // The caller may be gone: the removal does not depend on it.
            tokio::spawn(async move {
                if let Err(error) = removal.remove(&id).await {
                    tracing::warn!(task = id, "removed later: {error}");
                }
            });
        }
    }
}

fn lease(app: &App) -> Duration {
    app.settings.lease + app.settings.uploads.silence
}

/// The bytes that tell the format of a file.
const MAGIC: usize = 4;

fn check_magic(start: &[u8], name: &str) -> Result<(), ApiError> {
    match start {
        // pcapng, pcap of both byte orders, gzip, zstd.
        [0x0a, 0x0d, 0x0d, 0x0a]
        | [0xa1, 0xb2, ..]
        | [_, _, 0xb2, 0xa1]
        | [0x1f, 0x8b, ..]
        | [0x28, 0xb5, 0x2f, 0xfd] => Ok(()),
        [] => Err(ApiError::invalid("file", name, "the file is empty")
            .fix("upload a pcap or pcapng file")),
        _ => Err(
            ApiError::invalid("file", name, "this is not a capture file")
                .fix("upload a pcap or pcapng file, plain or compressed with gzip or zstd"),
        ),
    }
}

/// The name that is shown. It never becomes a path.
fn named(given: &str) -> String {
    if given.is_empty() {
        return "capture".to_owned();
    }
    given.chars().take(LONGEST_NAME).collect()
}

/// Why the form ended too early.
fn broken(app: &App, meter: &Meter, parser: &str) -> ApiError {
    match meter.error() {
        Some(BodyError::TooLarge) => too_large(app),
        Some(BodyError::Silent) => {
            let seconds = app.settings.uploads.silence.as_secs();
            let detail = format!("nothing came for {seconds} seconds");
            ApiError::new(StatusCode::REQUEST_TIMEOUT, detail).fix("upload it again")
        }
        Some(BodyError::TooSlow) => {
            let rate = app.settings.uploads.rate;
            let detail = format!("the upload is slower than {rate} bytes per second");
            ApiError::new(StatusCode::REQUEST_TIMEOUT, detail).fix("upload it over a faster line")
        }
        Some(BodyError::Head) => ApiError::invalid("form", "", "the head of a part is too long"),
        Some(BodyError::Broken) | None => {
            ApiError::invalid("form", "", format!("the form is cut or damaged: {parser}"))
                .fix("upload it again")
        }
    }
}
