//! Malcolm's upload form over HTTP: one request of `multipart/form-data` per file, streamed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{LOCATION, RETRY_AFTER},
    multipart::{Form as Multipart, Part},
    redirect::Policy,
};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{convert::Converted, login::Login, moving::while_moving};
use crate::{
    redact::Redactor,
    secret::Secret,
    sink::{Failure, Indexed, NotReady, Progress},
};

const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may send nothing. It answers after it has stored the whole file.
const SILENCE: Duration = Duration::from_secs(300);
/// How long a small question may take.
const QUESTION: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const LONGEST_ANSWER: usize = 1 << 20;
/// Bytes that are read from the file at once.
const PIECE: usize = 256 << 10;
/// Where the form is, below the URL of Malcolm.
const FORM: &str = "upload/server/php/submit.php";
/// The services that Malcolm's own upload page waits for.
const NEEDED: [&str; 5] = [
    "arkime",
    "logstash_lumberjack",
    "logstash_pipelines",
    "opensearch",
    "pcap_monitor",
];

/// The upload form of one Malcolm.
#[derive(Debug)]
pub(super) struct Form {
    client: Client,
    /// The URL of Malcolm, which ends in a slash.
    url: String,
    login: Option<Login>,
    ask: bool,
}

/// An answer of Arkime about its files.
#[derive(Debug, Deserialize)]
struct ArkimeFiles {
    data: Vec<ArkimeFile>,
}

#[derive(Debug, Deserialize)]
struct ArkimeFile {
    name: String,
}

impl Form {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// The authority's certificate cannot be read.
    pub(super) fn new(
        url: &str,
        login: Option<Login>,
        cacert: Option<&Path>,
        ask: bool,
    ) -> Result<Self> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // A redirection leads to a page for logging in.
            .redirect(Policy::none())
            .user_agent(concat!("capture-export/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = cacert {
            let context = || format!("cacert {}", path.display());
            let text = std::fs::read(path).with_context(context)?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&text).with_context(context)?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            client: builder.build().context("making the HTTP client")?,
            url: format!("{}/", url.trim_end_matches('/')),
            login,
            ask,
        })
    }

    pub(super) async fn ready(&self) -> Result<(), NotReady> {
        if !self.ask {
            return Ok(());
        }
        let redactor = self.redactor().map_err(NotReady::new)?;
        let asked = self
            .client
            .get(format!("{}mapi/ready", self.url))
            .timeout(QUESTION);
        let answer = self
            .authenticated(asked)
            .map_err(NotReady::new)?
            .send()
            .await;
        let answer = answer.map_err(|error| NotReady::new(redactor.error(&error)))?;
        let after = retry_after(&answer);
        let status = answer.status();
        if !status.is_success() {
            return Err(NotReady {
                reason: format!("mapi/ready: {}", refusal(&answer)),
                after,
            });
        }
        let text = bounded(answer).await.map_err(NotReady::new)?;
        let services: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|_| NotReady::new("mapi/ready: the answer is no JSON: is this a Malcolm?"))?;
        let missing: Vec<_> = NEEDED
            .into_iter()
            .filter(|service| services.get(service) != Some(&serde_json::Value::Bool(true)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(NotReady::new(format!(
            "Malcolm is not ready: {}",
            missing.join(", ")
        )))
    }

    /// Sends a file under a name.
    ///
    /// # Errors
    /// Malcolm did not take it.
    pub(super) async fn send(
        &self,
        converted: &Converted,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let redactor = self.redactor().map_err(Failure::retry)?;
        let file = converted.file.reopen();
        let file = file.map_err(|error| Failure::retry(error.to_string()))?;
        let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE);
        let moved = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&moved);
        let body = reqwest::Body::wrap_stream(pieces.inspect(move |_| {
            counter.fetch_add(1, Relaxed);
        }));
        let part = Part::stream_with_length(body, converted.bytes)
            .file_name(name.to_owned())
            .mime_str("application/vnd.tcpdump.pcap")
            .map_err(|error| Failure::reject(error.to_string()))?;
        let form = Multipart::new().part("filepond", part);
        let asked = self
            .client
            .post(format!("{}{FORM}", self.url))
            .multipart(form);
        let sent = self.authenticated(asked).map_err(Failure::retry)?.send();
        let mut known = 0;
        let sent = while_moving(sent, progress, || {
            std::mem::replace(&mut known, moved.load(Relaxed)) != known
        });
        let answer = sent
            .await
            .map_err(|error| Failure::retry(redactor.error(&error)))?;
        progress.alive();
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = refusal(&answer);
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Err(Failure::reject(format!(
                "{reason}: the file has {} bytes; let the recorder rotate earlier",
                converted.bytes
            ))),
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND => Err(Failure::Retry {
                after: retry_after(&answer),
                reason,
            }),
            status if status.is_client_error() => Err(Failure::reject(reason)),
            _ => Err(Failure::Retry {
                after: retry_after(&answer),
                reason,
            }),
        }
    }

    /// Whether Arkime lists each of the files of these names, separated by commas.
    pub(super) async fn indexed(&self, names: &str) -> Indexed {
        for name in names.split(',') {
            let Some(stem) = name
                .strip_suffix(".pcap")
                .or_else(|| name.strip_suffix(".pcapng"))
            else {
                return Indexed::Unknown;
            };
            let asked = self
                .client
                .get(format!("{}arkime/api/files", self.url))
                .query(&[("filter", stem), ("length", "10"), ("start", "0")])
                .timeout(QUESTION);
            let Ok(asked) = self.authenticated(asked) else {
                return Indexed::Unknown;
            };
            let answer = match asked.send().await {
                Ok(answer) if answer.status().is_success() => bounded(answer).await,
                _ => return Indexed::Unknown,
            };
            let files: Option<ArkimeFiles> = answer
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            match files {
                None => return Indexed::Unknown,
                Some(files) if files.data.iter().any(|file| file.name.ends_with(name)) => {}
                Some(_) => return Indexed::No,
            }
        }
        Indexed::Yes
    }

    fn authenticated(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let Some(login) = &self.login else {
            return Ok(request);
        };
        let password = login.password().map_err(|error| error.to_string())?;
        Ok(request.basic_auth(&login.user, Some(password.expose())))
    }

    fn redactor(&self) -> Result<Redactor, String> {
        let password = self.login.as_ref().map(Login::password).transpose();
        let password: Option<Secret> = password.map_err(|error| error.to_string())?;
        Ok(Redactor::new(
            password.map(|password| password.expose().to_owned()),
        ))
    }
}

/// An answer that is no success, as a reason. Its body is not repeated.
fn refusal(answer: &Response) -> String {
    let status = answer.status();
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check user and password",
        StatusCode::NOT_FOUND => "; is this the URL of a Malcolm?",
        status if status.is_redirection() && answer.headers().contains_key(LOCATION) => {
            "; is this the page for logging in? use an account with basic authentication"
        }
        _ => "",
    };
    format!("HTTP status {status}{hint}")
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?))
}

/// The body of an answer, which must be short.
async fn bounded(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
        if text.len() + piece.len() > LONGEST_ANSWER {
            return Err(format!("the answer is longer than {LONGEST_ANSWER} bytes"));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}
