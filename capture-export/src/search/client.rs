//! HTTP to a search cluster: several URLs, TLS, credentials; every answer is bounded.

use std::{path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Certificate, Identity, Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    multipart::{Form, Part},
};

use super::endpoints::Endpoints;
use crate::secret::{Secret, SecretError};

/// The answer to a batch of 10,000 documents that are all rejected has less.
const LONGEST_ANSWER: usize = 8 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// A cluster answers a bulk request in a second; one that has to wait for a shard takes a minute.
const ANSWER: Duration = Duration::from_secs(90);
/// A longer `Retry-After` is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Where a secret comes from. A file is read for each request, as secrets are rotated.
#[derive(Debug, Clone)]
pub(super) enum SecretSource {
    File(PathBuf),
    Environment(Secret),
}

impl SecretSource {
    fn secret(&self) -> Result<Secret, SecretError> {
        match self {
            Self::File(path) => Secret::read(path),
            Self::Environment(secret) => Ok(secret.clone()),
        }
    }
}

/// How requests are authorized.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    None,
    Basic {
        user: String,
        password: SecretSource,
    },
    ApiKey(SecretSource),
    Bearer(SecretSource),
}

impl Credentials {
    fn header(&self) -> Result<Option<HeaderValue>, RequestError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic { user, password } => {
                let pair = format!("{user}:{}", password.secret()?.expose());
                format!("Basic {}", STANDARD.encode(pair))
            }
            Self::ApiKey(key) => format!("ApiKey {}", key.secret()?.expose()),
            Self::Bearer(token) => format!("Bearer {}", token.secret()?.expose()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| RequestError::Credentials)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// TLS beyond the system's authorities.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    /// More authorities, PEM.
    pub(super) authorities: Option<PathBuf>,
    /// The client's certificate and key, PEM.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file cannot be read.
    #[error("{path}: {source}; name a PEM file that this user may read")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file has no certificate or key in PEM.
    #[error("{path}: {reason}; name a PEM file with {wanted}")]
    Pem {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
        /// What it should have.
        wanted: &'static str,
    },
    /// TLS cannot be set up.
    #[error("cannot set up HTTP: {0}")]
    Http(String),
}

/// Why a request was not answered. No URL is in it with its user, and no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: the answer has more than {LONGEST_ANSWER} bytes")]
    TooLong { url: String },
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the credentials cannot be sent in a header: they have control characters")]
    Credentials,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// When to try again, if the server said so.
    pub(super) after: Option<Duration>,
    /// Who answered.
    pub(super) url: String,
}

impl Answer {
    /// The status and the beginning of the body, for messages.
    pub(super) fn said(&self) -> String {
        let start = &self.body[..self.body.len().min(400)];
        let text = super::answer::one_line(&String::from_utf8_lossy(start));
        format!("{} answered {}: {text}", self.url, self.status)
    }
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(super) enum Body {
    None,
    Json(Bytes),
    /// Lines of JSON, compressed with gzip.
    Lines(Bytes),
}

/// A client of one cluster.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoints: Endpoints,
    credentials: Credentials,
}

impl Client {
    pub(super) fn new(
        urls: &[String],
        credentials: Credentials,
        tls: &Tls,
    ) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("capture-export/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            // Credentials must not go to another server.
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_rustls();
        if let Some(path) = &tls.authorities {
            let pem = read(path)?;
            let wanted = "the certificate of an authority";
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| bad_pem(path, &error, wanted))?;
            if certificates.is_empty() {
                return Err(bad_pem(path, &"no certificate is in it", wanted));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some((certificate, key)) = &tls.identity {
            let mut pem = read(certificate)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let identity = Identity::from_pem(&pem)
                .map_err(|error| bad_pem(key, &error, "a certificate and its key"))?;
            builder = builder.identity(identity);
        }
        let http = builder
            .build()
            .map_err(|error| ClientError::Http(chain(&error)))?;
        Ok(Self {
            http,
            endpoints: Endpoints::new(urls),
            credentials,
        })
    }

    /// Sends a request to the next URL. An answer of any status is an answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Answer, RequestError> {
        self.request(method, path, |request| match body {
            Body::None => request,
            Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json),
            Body::Lines(lines) => request
                .header(CONTENT_TYPE, "application/x-ndjson")
                .header(CONTENT_ENCODING, "gzip")
                .body(lines),
        })
        .await
    }

    /// Imports saved objects into Kibana or OpenSearch Dashboards, which want this header.
    pub(super) async fn import(
        &self,
        header: &str,
        objects: String,
    ) -> Result<Answer, RequestError> {
        let part = Part::text(objects).file_name("capture.ndjson");
        let form = Form::new().part("file", part);
        let path = "/api/saved_objects/_import?overwrite=true";
        self.request(Method::POST, path, |request| {
            request.header(header, "true").multipart(form)
        })
        .await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, RequestError> {
        let (number, url) = self.endpoints.next();
        let mut request = self.http.request(method, format!("{url}{path}"));
        if let Some(header) = self.credentials.header()? {
            request = request.header(AUTHORIZATION, header);
        }
        let request = content(request);
        let transport = |error: reqwest::Error| RequestError::Transport {
            url: url.to_owned(),
            reason: chain(&error.without_url()),
        };
        let answer = async {
            let response = request.send().await.map_err(transport)?;
            let status = response.status();
            let after = retry_after(&response);
            let body = whole(response, url, transport).await?;
            Ok(Answer {
                status,
                body,
                after,
                url: url.to_owned(),
            })
        }
        .await;
        match &answer {
            Ok(answer) if !answer.status.is_server_error() => self.endpoints.works(number),
            _ => self.endpoints.failed(number),
        }
        answer
    }
}

async fn whole(
    mut response: Response,
    url: &str,
    transport: impl Fn(reqwest::Error) -> RequestError,
) -> Result<Bytes, RequestError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(&transport)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(RequestError::TooLong {
                url: url.to_owned(),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Seconds; a date is not looked at.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let after = Duration::from_secs(text.trim().parse().ok()?);
    Some(after.min(LONGEST_WAIT))
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::File {
        path: path.display().to_string(),
        source,
    })
}

fn bad_pem(
    path: &std::path::Path,
    reason: &dyn std::fmt::Display,
    wanted: &'static str,
) -> ClientError {
    ClientError::Pem {
        path: path.display().to_string(),
        reason: reason.to_string(),
        wanted,
    }
}

/// An error with its causes, on one line of bounded length.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    super::answer::one_line(&texts.join(": "))
}
