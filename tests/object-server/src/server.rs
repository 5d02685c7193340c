//! The server, on a thread of its own.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    faults::{self, Fate, Faults},
    google::{self, Account},
};

/// The name of the key that requests must be signed with.
pub const ACCESS_KEY: &str = "test-access-key";
/// The key that requests must be signed with.
pub const SECRET_KEY: &str = "test-secret-key";

/// A running server; it ends when this is dropped.
pub struct ObjectServer {
    address: SocketAddr,
    root: PathBuf,
    faults: Arc<Faults>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ObjectServer {
    /// Serves a directory on a loopback port that the system chooses. Its subdirectories are the buckets;
    /// these are made.
    ///
    /// # Errors
    /// The directory cannot be used, or there is no port.
    pub fn start(root: &Path, buckets: &[&str]) -> Result<Self> {
        Self::start_at(root, buckets, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Like [`ObjectServer::start`], at an address, for example that of a server that has ended.
    ///
    /// # Errors
    /// The directory or the address cannot be used.
    pub fn start_at(root: &Path, buckets: &[&str], address: SocketAddr) -> Result<Self> {
        Self::start_as(root, buckets, address, None)
    }

    /// Like [`ObjectServer::start`], as Google's XML API: the account whose tokens it takes.
    ///
    /// # Errors
    /// The directory cannot be used, or there is no port.
    pub fn start_google(root: &Path, buckets: &[&str], account: Account) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_as(root, buckets, address, Some(account))
    }

    fn start_as(
        root: &Path,
        buckets: &[&str],
        address: SocketAddr,
        account: Option<Account>,
    ) -> Result<Self> {
        for bucket in buckets {
            let path = root.join(bucket);
            std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let files = s3s_fs::FileSystem::new(root)
            .map_err(|error| anyhow::anyhow!("serving {}: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        if account.is_none() {
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        }
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the server")?;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr().context("listening")?;
        let faults = Arc::new(Faults::default());
        let shared = Shared {
            service,
            account: account.map(Arc::new),
            faults: Arc::clone(&faults),
        };
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("object-server".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let router = Router::new().fallback(answer).with_state(shared);
                    // Open connections are dropped with the runtime.
                    tokio::select! {
                        _ = axum::serve(listener, router) => {}
                        _ = ended => {}
                    }
                });
            })
            .context("starting the server")?;
        Ok(Self {
            address,
            root: root.to_owned(),
            faults,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, `http://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The directory where it keeps objects: `BUCKET/KEY`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Environment variables by which clients of S3 find the server and its keys.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }
}

impl fmt::Debug for ObjectServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectServer")
            .field("address", &self.address)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // The thread may have ended by itself.
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Shared {
    service: S3Service,
    /// Of Google; S3 has keys.
    account: Option<Arc<Account>>,
    faults: Arc<Faults>,
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let mut seen = faults::Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: 0,
    };
    let (fate, delay) = shared.faults.decide();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let response = match fate {
        Fate::Refuse(status) => refused(status),
        Fate::Serve | Fate::Cut => match &shared.account {
            None => served(&shared.service, request).await,
            Some(account) => match google::translated(account, request) {
                Ok(request) => google::answered(served(&shared.service, request).await),
                Err(refused) => *refused,
            },
        },
    };
    if fate == Fate::Cut {
        shared.faults.remember(seen);
        return cut(response);
    }
    seen.status = response.status().as_u16();
    shared.faults.remember(seen);
    response
}

async fn served(service: &S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")).into_response(),
    }
}

/// An error as S3 sends it.
fn refused(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                <Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
    (status, [(CONTENT_TYPE, "application/xml")], text).into_response()
}

/// The answer, with its length, whose body ends in an error.
fn cut(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let pieces = [
        Ok(Bytes::from_static(b"<")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    Response::from_parts(parts, body)
}
