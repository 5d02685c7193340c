//! The real `capture-coordinator`, and a gRPC client of its cluster API.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::Result;
use capture_proto::v1::cluster_service_client::ClusterServiceClient;
use tokio::runtime::Runtime;
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    certificates::{Authority, Credentials},
    netns::Namespace,
    process::Process,
    recorder,
};

/// The program: the one that `CAPTURE_COORDINATOR` names, the one beside the `captured` that is tested, or one that
/// is built now.
pub fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let name = "capture-coordinator";
    let beside = recorder::program()?.with_file_name(name);
    let found = if env::var_os("CAPTURED").is_some() && beside.is_file() {
        beside
    } else {
        recorder::built("CAPTURE_COORDINATOR", name, name)?
    };
    Ok(PROGRAM.get_or_init(|| found))
}

/// Starts a coordinator in a network namespace, without metrics, and waits until it runs.
pub fn start(
    namespace: &Namespace,
    variables: &[(&str, &Path)],
    arguments: &[&str],
) -> Result<Process> {
    let mut command = Command::new(program()?);
    command
        .env_remove("KUBECONFIG")
        .envs(variables.iter().copied())
        .args(["--metrics", ""])
        .args(arguments);
    let mut process = Process::start(namespace, command)?;
    process.wait_for_stderr(" runs")?;
    Ok(process)
}

/// A client of the cluster API that waits for each answer.
#[derive(Debug)]
pub struct ClusterClient {
    runtime: Runtime,
    /// The service.
    pub service: ClusterServiceClient<Channel>,
    token: String,
}

impl ClusterClient {
    /// Connects from a network namespace, with a certificate or without one, and with a token unless it is
    /// empty. The coordinator's certificate is for `localhost`.
    pub fn connect(
        namespace: &Namespace,
        address: &str,
        authority: &Authority,
        own: Option<&Credentials>,
        token: &str,
    ) -> Result<Self> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.pem()))
            .domain_name("localhost");
        if let Some(own) = own {
            tls = tls.identity(Identity::from_pem(&own.certificate, &own.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?;
        // The threads of its runtime are in the namespace, too.
        namespace.run(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let channel = runtime.block_on(endpoint.connect())?;
            Ok(Self {
                runtime,
                service: ClusterServiceClient::new(channel),
                token: token.to_owned(),
            })
        })
    }

    /// Waits for something.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A request with the client's token.
    pub fn request<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        if !self.token.is_empty() {
            let value = format!("Bearer {}", self.token).parse()?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}
