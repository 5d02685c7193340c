//! A connection to a node. Generated types do not leave this crate.
use std::{
    ffi::OsString,
    io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{Address, ClientError, Target, error, tls};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A chunk of a file has 256 KiB: enough may be in flight that the line is never idle.
const STREAM_WINDOW: u32 = 2 << 20;
/// Larger than any message of the API, but still small.
pub(crate) const LARGEST_MESSAGE: usize = 16 << 20;

/// Options of requests.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// Time limit for an answer; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The reason, for the audit log.
    pub reason: String,
}

/// A connection to a node. It is re-established automatically when it breaks between requests.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    options: CallOptions,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The node cannot be reached, or one of the two certificates is rejected.
    pub async fn connect(target: &Target, options: &CallOptions) -> Result<Self, ClientError> {
        let endpoint = endpoint(target)?;
        let limit = options
            .timeout
            .map_or(CONNECT_TIMEOUT, |t| t.min(CONNECT_TIMEOUT));
        let endpoint = endpoint.connect_timeout(limit);
        let connected = match &target.address {
            Address::Tcp(_) => endpoint.connect().await,
            Address::Unix(path) => {
                let path = path.clone();
                let connector = tower::service_fn(move |_| connect_socket(path.clone()));
                endpoint.connect_with_connector(connector).await
            }
        };
        let channel = connected.map_err(|error| unreachable(target, &error))?;
        Ok(Self {
            channel,
            options: options.clone(),
        })
    }

    /// The channel, for callers that pass on messages unchanged.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request with the configured deadline.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.options.timeout {
            request.set_timeout(timeout);
        }
        request
    }

    pub(crate) fn reason(&self) -> String {
        self.options.reason.clone()
    }

    /// The error for a status of a request with a deadline.
    pub(crate) fn error(&self, status: &Status) -> ClientError {
        error::from_status(status, self.options.timeout)
    }
}

fn endpoint(target: &Target) -> Result<Endpoint, ClientError> {
    let misnamed = |error: &tonic::transport::Error| ClientError::Unreachable {
        node: target.label(),
        problem: error::innermost(error),
    };
    let uri = match &target.address {
        // The host becomes the :authority of requests, and a path is not a valid one.
        Address::Unix(_) => "http://localhost".to_owned(),
        Address::Tcp(host) if target.tls.is_some() => format!("https://{host}"),
        Address::Tcp(host) => format!("http://{host}"),
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(|error| misnamed(&error))?
        .user_agent(USER_AGENT)
        .map_err(|error| misnamed(&error))?;
    let mut endpoint = tuned(endpoint);
    if let (Address::Tcp(_), Some(tls)) = (&target.address, &target.tls) {
        let authority = read("cacert", &tls.cacert, "CERTIFICATE-----")?;
        let certificate = read("cert", &tls.cert, "CERTIFICATE-----")?;
        let key = read("key", &tls.key, "PRIVATE KEY-----")?;
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(Identity::from_pem(certificate, key));
        if let Some(name) = &tls.server_name {
            config = config.domain_name(name);
        }
        endpoint = endpoint.tls_config(config).map_err(|error| {
            ClientError::Files(match error::innermost(&error) {
                text if text.contains("KeyMismatch") => format!(
                    "key {}: it is not the key of the certificate in cert {}",
                    tls.key.display(),
                    tls.cert.display()
                ),
                text => format!(
                    "cacert {}, cert {}, key {}: {text}",
                    tls.cacert.display(),
                    tls.cert.display(),
                    tls.key.display()
                ),
            })
        })?;
    }
    Ok(endpoint)
}

/// Connects to a coordinator at `HOST:PORT`.
pub(crate) async fn coordinator(
    address: &str,
    tls: ClientTlsConfig,
) -> Result<Channel, ClientError> {
    let target = Target {
        address: Address::Tcp(address.to_owned()),
        tls: None,
    };
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(|error| unreachable(&target, &error))?;
    let endpoint = tuned(endpoint).connect_timeout(CONNECT_TIMEOUT);
    endpoint
        .connect()
        .await
        .map_err(|error| unreachable(&target, &error))
}

const USER_AGENT: &str = concat!("capturectl/", env!("CARGO_PKG_VERSION"));

/// Sets windows for file transfers, and keep-alive probes.
fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(2 * STREAM_WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .tcp_nodelay(true)
}

/// Connects to a unix socket. A name that begins with `@` is in the abstract namespace (unix(7)).
async fn connect_socket(path: PathBuf) -> io::Result<TokioIo<UnixStream>> {
    let name = path.as_os_str().as_bytes();
    let path = match name.strip_prefix(b"@") {
        Some(name) => PathBuf::from(OsString::from_vec([b"\0", name].concat())),
        None => path,
    };
    UnixStream::connect(path).await.map(TokioIo::new)
}

/// Reads a PEM file, which must contain a line that ends with `end`.
pub(crate) fn read(setting: &str, path: &Path, end: &str) -> Result<Vec<u8>, ClientError> {
    let wrong =
        |problem: String| ClientError::Files(format!("{setting} {}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("ENCRYPTED PRIVATE KEY-----") {
        return Err(wrong(
            "the key has a passphrase; write it without one: openssl pkey -in OLD -out NEW"
                .to_owned(),
        ));
    }
    if !text.contains(end) {
        let kind = end.trim_end_matches('-').to_lowercase();
        return Err(wrong(format!("there is no {kind} in it; it must be PEM")));
    }
    Ok(bytes)
}

fn unreachable(target: &Target, error: &tonic::transport::Error) -> ClientError {
    use std::io::ErrorKind;
    if let Some(refusal) = tls::refusal(error) {
        return refusal;
    }
    match (&target.address, error::io_kind(error)) {
        (Address::Unix(socket), Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused)) => {
            ClientError::NoDaemon {
                socket: socket.clone(),
            }
        }
        (Address::Unix(socket), Some(ErrorKind::PermissionDenied)) => ClientError::SocketDenied {
            socket: socket.clone(),
        },
        _ => ClientError::Unreachable {
            node: target.label(),
            problem: error::innermost(error),
        },
    }
}
