//! The options that select the nodes and how to connect to them.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{environment, exit::Error};
use capture_client::{
    contexts::{self, ContextFile},
    settings::{Layer, Settings},
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Nodes")]
pub(super) struct Connection {
    /// A node to ask; repeatable [env: CAPTURECTL_NODES, with commas between].
    #[arg(long = "node", global = true, value_name = "HOST:PORT")]
    nodes: Vec<String>,

    /// The socket of the daemon on this machine [default: /run/captured/captured.sock]
    /// [env: CAPTURECTL_SOCKET].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// A context of the configuration file, instead of its current one.
    #[arg(long, global = true, value_name = "NAME", env = "CAPTURECTL_CONTEXT")]
    context: Option<String>,

    /// The configuration file [default: $XDG_CONFIG_HOME/capturectl/config.toml].
    #[arg(long, global = true, value_name = "FILE", env = "CAPTURECTL_CONFIG")]
    config: Option<PathBuf>,

    /// Certificate of the authority that signed the nodes' certificates, PEM [env: CAPTURECTL_CACERT].
    #[arg(long, global = true, value_name = "FILE")]
    cacert: Option<PathBuf>,

    /// This client's certificate, PEM [env: CAPTURECTL_CERT].
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,

    /// The key of the certificate, PEM [env: CAPTURECTL_KEY].
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The name in the nodes' certificates, if it is not the host's [env: CAPTURECTL_TLS_SERVER_NAME].
    #[arg(long, global = true, value_name = "NAME")]
    tls_server_name: Option<String>,

    /// Connect to nodes without TLS: anyone on the network path can read and change everything
    /// [env: CAPTURECTL_INSECURE].
    #[arg(long, global = true)]
    insecure: bool,

    /// Time limit for an answer, as in 5s [default: 30s; none for commands that wait for a capture to end]
    /// [env: CAPTURECTL_TIMEOUT].
    #[arg(long, global = true, value_name = "DURATION")]
    timeout: Option<String>,

    /// The reason, for the nodes' audit logs.
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
}

impl Connection {
    /// The effective settings of flags, environment and file.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let path = self.config.clone().unwrap_or_else(contexts::default_path);
        let file = ContextFile::read(&path, self.config.is_some())?;
        let context = file.context(self.context.as_deref(), &path)?;
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment = environment::layer(variables)?;
        let flags = Layer {
            nodes: self.nodes.clone(),
            socket: self.socket.clone(),
            cacert: self.cacert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            tls_server_name: self.tls_server_name.clone(),
            insecure: self.insecure.then_some(true),
            timeout: self.timeout.clone(),
        };
        Ok(Settings::merge(&[flags, environment, context])?)
    }

    /// The options again, for a script that calls this program from anywhere.
    pub(super) fn way(&self) -> Vec<OsString> {
        let mut way = Vec::new();
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                way.extend([name.into(), value]);
            }
        };
        for node in &self.nodes {
            option("--node", Some(node.into()));
        }
        let path = |path: &Option<PathBuf>| path.as_deref().map(absolute);
        option("--socket", path(&self.socket));
        option("--context", self.context.as_ref().map(Into::into));
        option("--config", path(&self.config));
        option("--cacert", path(&self.cacert));
        option("--cert", path(&self.cert));
        option("--key", path(&self.key));
        option(
            "--tls-server-name",
            self.tls_server_name.as_ref().map(Into::into),
        );
        option("--timeout", self.timeout.as_ref().map(Into::into));
        if self.insecure {
            way.push("--insecure".into());
        }
        way
    }
}

fn absolute(path: &Path) -> OsString {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .into_os_string()
}
