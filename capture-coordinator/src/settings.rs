//! Settings: from a file, the environment and the command line; the last one that sets a value decides.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use capture_types::{SinkName, distinct_sinks};
use clap::Args;
use kube::core::Selector;
use serde::Deserialize;

use crate::{
    nodes::{NodeTls, Reach},
    request::FileDefaults,
};

/// One layer of settings. The same names are used in the file, with underscores.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Port of the daemons [default: 8080].
    #[arg(long, value_name = "PORT", env = "AGENT_PORT")]
    pub agent_port: Option<u16>,
    /// Default number of files kept of a capture on each node [default: 5].
    #[arg(long, value_name = "NUMBER", env = "MAX_CAPTURE_FILES")]
    pub max_capture_files: Option<u32>,
    /// Default size of a file in megabytes [default: 10].
    #[arg(long, value_name = "MEGABYTES", env = "MAX_CAPTURE_FILE_SIZE_MB")]
    pub max_capture_file_size_mb: Option<u32>,
    /// Sinks of the exporter that resources may name [default: none].
    #[arg(
        long,
        value_name = "NAME,...",
        env = "CAPTURE_COORDINATOR_EXPORT_SINKS"
    )]
    pub export_sinks: Option<String>,
    /// Log level: error, warn, info, debug, trace, or a filter as for RUST_LOG [default: INFO].
    #[arg(long, value_name = "LEVEL", env = "LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Format of the log: text or json [default: text].
    #[arg(long, value_name = "FORMAT", env = "CAPTURE_COORDINATOR_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Namespace of the daemons' pods [default: the coordinator's].
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "CAPTURE_COORDINATOR_DAEMON_NAMESPACE"
    )]
    pub daemon_namespace: Option<String>,
    /// Labels of the daemons' pods [default: app.kubernetes.io/component=daemon].
    #[arg(
        long,
        value_name = "KEY=VALUE,...",
        env = "CAPTURE_COORDINATOR_DAEMON_SELECTOR"
    )]
    pub daemon_selector: Option<String>,
    /// Authority that signed the daemons' certificates, PEM.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_DAEMON_CACERT")]
    pub daemon_cacert: Option<PathBuf>,
    /// The coordinator's certificate for the daemons, PEM.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_DAEMON_CERT")]
    pub daemon_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_DAEMON_KEY")]
    pub daemon_key: Option<PathBuf>,
    /// The name in the daemons' certificates [default: captured].
    #[arg(
        long,
        value_name = "NAME",
        env = "CAPTURE_COORDINATOR_DAEMON_TLS_SERVER_NAME"
    )]
    pub daemon_tls_server_name: Option<String>,
    /// Connect to daemons without TLS: anyone on the path can read and change everything.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", env = "CAPTURE_COORDINATOR_DAEMON_INSECURE")]
    pub daemon_insecure: Option<bool>,
    /// Namespace of the coordinator's lease and of ConfigMaps with results.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// Unique name of this process [default: the host name and the process id].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// Name of the lease by which one of several coordinators is elected; empty if this is the only
    /// one [default: capture-coordinator].
    #[arg(long, value_name = "NAME", env = "CAPTURE_COORDINATOR_LEASE")]
    pub lease: Option<String>,
    /// HTTP address of /metrics, /healthz and /readyz; empty for none [default: 127.0.0.1:9101].
    #[arg(long, value_name = "ADDRESS", env = "CAPTURE_COORDINATOR_METRICS")]
    pub metrics: Option<String>,
    /// TCP address of the cluster API, which needs a certificate; empty for none.
    #[arg(long, value_name = "ADDRESS", env = "CAPTURE_COORDINATOR_LISTEN")]
    pub listen: Option<String>,
    /// Certificate of the cluster API and its intermediates, PEM.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Authority of that certificate, PEM, which is published in the ConfigMap LEASE-ca for users
    /// [default: the daemons' authority].
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// Authority whose client certificates the cluster API accepts; required with --nodes, where there are no
    /// tokens.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,
    /// Serve the cluster API over the nodes of this file, without Kubernetes.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_NODES")]
    pub nodes: Option<PathBuf>,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to connect to daemons.
    pub reach: Reach,
    /// Defaults for files of captures.
    pub files: FileDefaults,
    /// Sinks of the exporter that resources may name.
    pub sinks: Vec<SinkName>,
    /// The log level.
    pub log_level: String,
    /// Whether the log is JSON.
    pub log_json: bool,
    /// Namespace of the daemons' pods, if different from the coordinator's.
    pub daemon_namespace: Option<String>,
    /// Labels of the daemons' pods.
    pub daemon_selector: Selector,
    /// The coordinator's namespace, if set.
    pub namespace: Option<String>,
    /// The name of this process.
    pub identity: String,
    /// The lease; `None` if this is the only coordinator.
    pub lease: Option<String>,
    /// Metrics and health over HTTP.
    pub metrics: Option<SocketAddr>,
    /// The cluster API.
    pub listen: Option<Listen>,
    /// A file with nodes, instead of Kubernetes.
    pub nodes: Option<PathBuf>,
}

/// The address and certificates of the cluster API.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority of the certificate, for users.
    pub ca: Option<PathBuf>,
    /// Clients need a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// All errors of the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl Layer {
    /// Reads a file in TOML.
    ///
    /// # Errors
    /// It cannot be read, or has an unknown key or an invalid value.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError(vec![format!("{}: {error}", path.display())]))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            SettingsError(vec![format!(
                "{}: {}",
                path.display(),
                error.to_string().trim_end()
            )])
        })
    }

    /// Merges this layer with the one below, which applies to unset values.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            agent_port: self.agent_port.or(below.agent_port),
            max_capture_files: self.max_capture_files.or(below.max_capture_files),
            max_capture_file_size_mb: self
                .max_capture_file_size_mb
                .or(below.max_capture_file_size_mb),
            export_sinks: self.export_sinks.or(below.export_sinks),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
            daemon_namespace: self.daemon_namespace.or(below.daemon_namespace),
            daemon_selector: self.daemon_selector.or(below.daemon_selector),
            daemon_cacert: self.daemon_cacert.or(below.daemon_cacert),
            daemon_cert: self.daemon_cert.or(below.daemon_cert),
            daemon_key: self.daemon_key.or(below.daemon_key),
            daemon_tls_server_name: self.daemon_tls_server_name.or(below.daemon_tls_server_name),
            daemon_insecure: self.daemon_insecure.or(below.daemon_insecure),
            namespace: self.namespace.or(below.namespace),
            identity: self.identity.or(below.identity),
            lease: self.lease.or(below.lease),
            metrics: self.metrics.or(below.metrics),
            listen: self.listen.or(below.listen),
            tls_certificate: self.tls_certificate.or(below.tls_certificate),
            tls_key: self.tls_key.or(below.tls_key),
            tls_ca: self.tls_ca.or(below.tls_ca),
            tls_client_ca: self.tls_client_ca.or(below.tls_client_ca),
            nodes: self.nodes.or(below.nodes),
        }
    }

    /// Checks every value; all errors are reported at once.
    ///
    /// # Errors
    /// The errors, one per line.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let mut wrong = Vec::new();
        let tls = self.daemon_tls(&mut wrong);
        let listen = self.listen(&mut wrong);
        if self.nodes.is_some() {
            match &listen {
                Some(listen) if listen.client_ca.is_none() => wrong.push(
                    "nodes: without Kubernetes there are no tokens; give tls_client_ca".to_owned(),
                ),
                Some(_) => {}
                None => wrong.push("nodes: give listen, the address of the cluster API".to_owned()),
            }
        }
        let metrics = address(
            "metrics",
            self.metrics.as_deref().unwrap_or("127.0.0.1:9101"),
        )
        .unwrap_or_else(|error| {
            wrong.push(error);
            None
        });
        let log_level = self.log_level.unwrap_or_else(|| "INFO".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log_level) {
            wrong.push(format!("log_level {log_level:?}: {error}"));
        }
        let log_json = match self.log_format.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                wrong.push(format!("log_format {other:?}: give text or json"));
                false
            }
        };
        let files = FileDefaults::default();
        let max_files = self.max_capture_files.unwrap_or(files.max_files);
        if max_files == 0 {
            wrong.push("max_capture_files 0: give a number of at least 1".to_owned());
        }
        let megabytes = self.max_capture_file_size_mb.unwrap_or(10);
        if megabytes == 0 {
            wrong.push("max_capture_file_size_mb 0: give a number of at least 1".to_owned());
        }
        let port = self.agent_port.unwrap_or(8080);
        if port == 0 {
            wrong.push("agent_port 0: give a port from 1 to 65535".to_owned());
        }
        let text = self
            .daemon_selector
            .unwrap_or_else(|| "app.kubernetes.io/component=daemon".to_owned());
        let daemon_selector = selector(&text).unwrap_or_else(|| {
            wrong.push(format!(
                "daemon_selector {text:?}: give labels as KEY=VALUE, with commas between"
            ));
            Selector::default()
        });
        let sinks =
            sinks(self.export_sinks.as_deref().unwrap_or_default()).unwrap_or_else(|error| {
                wrong.push(error);
                Vec::new()
            });
        if !wrong.is_empty() {
            return Err(SettingsError(wrong));
        }
        Ok(Settings {
            sinks,
            reach: Reach { tls, port },
            files: FileDefaults {
                max_files,
                max_file_bytes: u64::from(megabytes) * 1_000_000,
            },
            log_level,
            log_json,
            daemon_namespace: filled(self.daemon_namespace),
            daemon_selector,
            namespace: filled(self.namespace),
            identity: filled(self.identity).unwrap_or_else(process_name),
            lease: filled(Some(
                self.lease
                    .unwrap_or_else(|| "capture-coordinator".to_owned()),
            )),
            metrics,
            listen,
            nodes: self.nodes,
        })
    }

    fn daemon_tls(&self, wrong: &mut Vec<String>) -> Option<NodeTls> {
        if self.daemon_insecure == Some(true) {
            return None;
        }
        match (&self.daemon_cacert, &self.daemon_cert, &self.daemon_key) {
            (Some(cacert), Some(cert), Some(key)) => Some(NodeTls {
                cacert: cacert.clone(),
                cert: cert.clone(),
                key: key.clone(),
                // Daemons of a list are identified by their own names.
                server_name: match &self.daemon_tls_server_name {
                    None if self.nodes.is_some() => None,
                    None => Some("captured".to_owned()),
                    Some(name) => Some(name.clone()),
                },
            }),
            _ => {
                wrong.push(
                    "daemons are reached over TLS, which needs daemon_cacert, daemon_cert and \
                     daemon_key; daemon_insecure goes without, where the daemons allow it"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn listen(&self, wrong: &mut Vec<String>) -> Option<Listen> {
        let address = match address("listen", self.listen.as_deref().unwrap_or_default()) {
            Ok(address) => address?,
            Err(error) => {
                wrong.push(error);
                return None;
            }
        };
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Listen {
                address,
                certificate: certificate.clone(),
                key: key.clone(),
                ca: self.tls_ca.clone().or_else(|| self.daemon_cacert.clone()),
                client_ca: self.tls_client_ca.clone(),
            }),
            _ => {
                wrong.push(format!(
                    "listen {address}: clients send tokens there, which needs tls_certificate and tls_key"
                ));
                None
            }
        }
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn address(key: &str, text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| format!("{key} {text:?}: give an address and a port, as in 0.0.0.0:9443"))
}

/// Parses names of sinks, separated by commas.
fn sinks(text: &str) -> Result<Vec<SinkName>, String> {
    let names = text.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty()).map(|name| {
        name.parse()
            .map_err(|error| format!("export_sinks {name:?}: {error}"))
    });
    distinct_sinks(names.collect::<Result<_, String>>()?)
        .map_err(|error| format!("export_sinks: {error}"))
}

/// Parses labels of the form `KEY=VALUE`, separated by commas.
fn selector(text: &str) -> Option<Selector> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    };
    let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
    pairs.map(|pairs| pairs.into_iter().collect())
}

fn process_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Layer {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_four_known_keys_have_their_known_defaults() {
        let settings = file("daemon_insecure = true").check().unwrap();
        assert_eq!(settings.reach.port, 8080);
        assert_eq!(settings.files.max_files, 5);
        assert_eq!(settings.files.max_file_bytes, 10_000_000);
        assert_eq!(settings.log_level, "INFO");
        assert_eq!(settings.lease.as_deref(), Some("capture-coordinator"));
    }

    #[test]
    fn the_upper_layer_decides_and_unknown_keys_are_rejected() {
        let below = file("agent_port = 1\nmax_capture_files = 7\ndaemon_insecure = true");
        let above = file("agent_port = 2\nlease = ''");
        let settings = above.over(below).check().unwrap();
        assert_eq!(settings.reach.port, 2);
        assert_eq!(settings.files.max_files, 7);
        assert!(settings.lease.is_none(), "an empty name: no election");
        assert!(toml::from_str::<Layer>("agent_prot = 1").is_err());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = file(
            "agent_port = 0\nlog_format = 'xml'\nmetrics = 'here'\nlisten = '127.0.0.1:1'\n\
             daemon_selector = 'app'\nmax_capture_files = 0\nexport_sinks = 'a, B'",
        )
        .check()
        .unwrap_err()
        .to_string();
        for part in [
            "agent_port",
            "log_format",
            "metrics",
            "tls_certificate",
            "daemon_selector",
            "max_capture_files",
            "daemon_cacert",
            "export_sinks \"B\"",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
