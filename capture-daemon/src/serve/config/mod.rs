//! The daemon's configuration: read, layered, and checked as a whole before it is used.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use self::validator::{Validator, address, log_format, size_or_none};
use crate::{
    grpc::{ConnectionLimits, Defaults},
    log,
    manager::{BudgetLimits, CaptureRequest},
    tls,
};
use capture_pipeline::ExportSink;
use capture_session::filters;
use capture_types::{SinkName, values};

mod captures;
mod clients;
mod documented;
mod layers;
mod validator;

pub use documented::documented;
pub use layers::{LayerError, Layers, Origin, Tables};

const DEFAULTS: &str = include_str!("defaults.toml");

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The unix socket; none if empty.
    pub socket: Option<PathBuf>,
    /// Users that may connect to it, besides root and the daemon's own.
    pub socket_users: Vec<u32>,
    /// The name of an abstract unix socket.
    pub abstract_socket: Option<String>,
    /// Directory of the daemon's state.
    pub state_dir: PathBuf,
    /// Directory for captures.
    pub data_dir: PathBuf,
    /// Retention removes first what this sink has.
    pub export_sink: Option<ExportSink>,
    /// State directory of an exporter, which is only read.
    pub export_state_dir: PathBuf,
    /// The node's name.
    pub node_name: String,
    /// The log level or filter.
    pub log: String,
    /// The format of log lines.
    pub log_format: log::Format,
    /// TCP for clients with certificates.
    pub tls: Option<tls::TlsSettings>,
    /// TCP for anyone.
    pub insecure_listen: Option<SocketAddr>,
    /// Metrics over HTTP.
    pub metrics: Option<SocketAddr>,
    /// How long captures may take to end at shutdown.
    pub shutdown_timeout: Duration,
    /// Limits shared by all captures.
    pub limits: BudgetLimits,
    /// Limits on clients' connections.
    pub clients: ConnectionLimits,
    /// Bytes of memory for requests and streams of clients.
    pub client_memory: u64,
    /// Defaults for captures.
    pub defaults: Defaults,
    /// Captures that start with the daemon.
    pub captures: Vec<CaptureRequest>,
}

/// All errors of a configuration.
#[derive(Debug, Default)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl From<LayerError> for ConfigError {
    fn from(error: LayerError) -> Self {
        Self(vec![error.to_string()])
    }
}

/// Reads the layers: the file, if there is one, then the environment, then flags as pairs of key
/// and text.
pub fn read(
    file: Option<(&str, &str)>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, String, String)],
) -> Result<(Layers, Tables), LayerError> {
    let mut layers = Layers::defaults(DEFAULTS)?;
    let tables = match file {
        Some((path, text)) => layers.file(path, text)?,
        None => Tables::default(),
    };
    layers.environment(environment)?;
    for (key, text, flag) in flags {
        layers.set_text(key, text, Origin::Flag(flag.clone()))?;
    }
    Ok((layers, tables))
}

impl Config {
    /// Checks every value; all errors are reported at once.
    pub fn check(layers: &Layers, tables: &Tables) -> Result<Self, ConfigError> {
        let mut validator = Validator::new(layers);
        let config = Self::from_validator(&mut validator, tables);
        match config {
            Some(config) if validator.wrong.is_empty() => Ok(config),
            _ => Err(ConfigError(validator.wrong)),
        }
    }

    /// Keys of changed settings that are read only at startup.
    #[must_use]
    pub fn needs_restart(&self, old: &Self) -> Vec<&'static str> {
        let tls = |config: &Self| {
            let settings = config.tls.as_ref();
            settings.map(|settings| (settings.listen, settings.files.clone()))
        };
        let captures = |config: &Self| serde_json::to_string(&config.captures).ok();
        let compared = [
            ("socket", self.socket != old.socket),
            ("socket_users", self.socket_users != old.socket_users),
            (
                "abstract_socket",
                self.abstract_socket != old.abstract_socket,
            ),
            ("listen and tls", tls(self) != tls(old)),
            (
                "insecure_listen",
                self.insecure_listen != old.insecure_listen,
            ),
            ("state_dir", self.state_dir != old.state_dir),
            ("data_dir", self.data_dir != old.data_dir),
            (
                "retain_until_exported and export_state_dir",
                self.export_sink != old.export_sink
                    || self.export_state_dir != old.export_state_dir,
            ),
            ("node_name", self.node_name != old.node_name),
            ("log_format", self.log_format != old.log_format),
            (
                "shutdown_timeout",
                self.shutdown_timeout != old.shutdown_timeout,
            ),
            ("metrics.listen", self.metrics != old.metrics),
            (
                "limits",
                self.limits != old.limits
                    || self.clients != old.clients
                    || self.client_memory != old.client_memory,
            ),
            ("defaults", self.defaults != old.defaults),
            ("[[capture]]", captures(self) != captures(old)),
        ];
        let changed = compared.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }

    fn from_validator(from: &mut Validator<'_>, tables: &Tables) -> Option<Self> {
        let socket = from
            .maybe("socket", |_| Ok::<_, String>(()))
            .map(|()| from.path("socket"));
        let mut users = Vec::new();
        for user in from.layers.list("socket_users") {
            match user.parse() {
                Ok(user) => users.push(user),
                Err(_) => from
                    .wrong
                    .push(format!("socket_users: {user:?}: give numbers of users")),
            }
        }
        let (state_dir, data_dir) = (from.path("state_dir"), from.path("data_dir"));
        let export_state_dir = from.path("export_state_dir");
        let export_sink = from
            .maybe("retain_until_exported", str::parse::<SinkName>)
            .map(|name| ExportSink {
                name: name.to_string(),
                state_dir: export_state_dir.clone(),
            });
        let abstract_socket = from.maybe("abstract_socket", |name| match name.len() {
            1..=100 => Ok(name.to_owned()),
            _ => Err("give at most 100 bytes, without the leading @"),
        });
        let (log, log_format) = (
            from.take("log", |text| log::check(text).map(|()| text.to_owned())),
            from.take("log_format", log_format),
        );
        let tls = from.tls(&tables.clients);
        let insecure_listen = from.maybe("insecure_listen", address);
        if socket.is_none() && from.layers.text("listen").is_empty() && insecure_listen.is_none() {
            from.wrong("socket", "nobody could connect: set socket, or listen");
        }
        let metrics = from.maybe("metrics.listen", address);
        let shutdown_timeout = from.take("shutdown_timeout", values::duration);
        let active_captures = from.number("limits.active_captures", 1);
        let known = from.number("limits.captures", 1);
        let readers = from.number("limits.packet_readers", 0);
        let connections = from.number("limits.connections", 1);
        let handshakes = from.number("limits.handshakes", 1);
        let client_memory = from.take("limits.client_memory", client_memory);
        let ring_bytes = from.take("limits.ring_memory", values::size);
        let disk = from.take("limits.disk", size_or_none);
        let ring_size = from.take("defaults.ring_size", values::ring_size);
        let compression = from.take("defaults.compression", str::parse);
        let rotation_size = from.take("defaults.rotate_size", size_or_none);
        let max_files = from.number::<u32>("defaults.max_files", 0);
        let min_free = from.take("defaults.min_free", str::parse);
        let defaults = Defaults {
            ring_size: ring_size?,
            compression: compression?,
            rotation_size: rotation_size?,
            max_files: max_files.filter(|files| *files > 0),
            min_free: min_free?,
            data_dir: data_dir.clone(),
        };
        // Captures of the file may have host names in their filters.
        filters::resolve_names(from.layers.flag("filter.resolve_names"));
        let mut requests = Vec::new();
        for (at, capture) in tables.captures.iter().enumerate() {
            match captures::request(capture, &defaults) {
                Ok(request) if has_name(&requests, &request) => {
                    let (number, name) = (at + 1, &request.spec.name);
                    from.wrong.push(format!(
                        "capture {number}: there is another one named {name}"
                    ));
                }
                Ok(request) => requests.push(request),
                Err(error) => from.wrong.push(format!("capture {}: {error}", at + 1)),
            }
        }
        Some(Self {
            socket,
            socket_users: users,
            abstract_socket,
            state_dir,
            data_dir,
            export_sink,
            export_state_dir,
            node_name: node_name(from.layers.text("node_name")),
            log: log?,
            log_format: log_format?,
            tls,
            insecure_listen,
            metrics,
            shutdown_timeout: shutdown_timeout?,
            limits: BudgetLimits {
                active_captures: active_captures?,
                captures: known?,
                ring_bytes: ring_bytes?,
                disk_bytes: disk?.unwrap_or(0),
                packet_readers: readers?,
                // The limit of the process is known only at startup.
                descriptors: u64::MAX,
            },
            clients: ConnectionLimits {
                connections: connections?,
                handshakes: handshakes?,
            },
            client_memory: client_memory?,
            defaults,
            captures: requests,
        })
    }
}

fn has_name(requests: &[CaptureRequest], new: &CaptureRequest) -> bool {
    requests
        .iter()
        .any(|request| request.spec.name == new.spec.name)
}

/// At least enough memory for one large request and one stream of packets of a client.
fn client_memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 128 << 20;
    let bytes = values::size(text).map_err(|error| error.to_string())?;
    if bytes < LEAST {
        return Err("give at least 128MiB".to_owned());
    }
    Ok(bytes)
}

fn node_name(given: &str) -> String {
    if given.is_empty() {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    } else {
        given.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, read};

    fn config(file: &str) -> Result<Config, String> {
        let (layers, tables) =
            read(Some(("f.toml", file)), std::iter::empty(), &[]).map_err(|e| e.to_string())?;
        Config::check(&layers, &tables).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_built_in_is_sound() {
        let config = config("").expect("sound");
        assert_eq!(config.limits.active_captures, 128);
        assert!(config.insecure_listen.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_where_it_stands() {
        let error = config(
            "state_dir = \"relative\"\nshutdown_timeout = \"x\"\nlog = \"loud\"\n[metrics]\n\
             listen = \"here\"\n[[capture]]\nname = \"bad name\"\n[[capture]]\nnmae = \"a\"\n\
             [[capture]]\nname = \"twice\"\n[[capture]]\nname = \"twice\"",
        )
        .expect_err("wrong");
        for part in [
            "state_dir",
            "shutdown_timeout",
            "metrics.listen",
            "capture 1",
            "nmae",
            "log = \"loud\"",
            "capture 4: there is another one named twice",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(error.contains("file f.toml"), "{error}");
    }

    #[test]
    fn whoever_wants_clients_over_tcp_is_told_what_they_need() {
        let error_of = |more: &str| config(more).expect_err("wrong");
        let nothing = error_of("listen = \"127.0.0.1:1\"");
        for part in ["tls.certificate", "tls.key", "tls.client_ca", "[[client]]"] {
            assert!(nothing.contains(part), "{part}: {nothing}");
        }
        let missing = error_of(
            "listen = \"127.0.0.1:1\"\n[tls]\ncertificate = \"/no/such\"\nkey = \"/no/such\"\n\
             client_ca = \"/no/such\"\ndefault_role = \"viewer\"",
        );
        assert!(
            missing.contains("tls.certificate = \"/no/such\": no such file"),
            "{missing}"
        );
        let role = error_of("[tls]\ndefault_role = \"admin\"");
        assert!(role.contains("give viewer or operator"), "{role}");
        let client = error_of("[[client]]\ncn = \"a\"\nrole = \"admin\"");
        assert!(client.contains("client 1"), "{client}");
    }

    #[test]
    fn captures_of_the_file_are_what_they_say() {
        let config = config(
            "[[capture]]\nname = \"web\"\ninterfaces = [\"eth0\", \"veth*\"]\nduration = \"1h\"\n\
             compression = \"gzip:3\"\nmax_files = 5\n",
        )
        .expect("sound");
        let request = &config.captures[0];
        assert_eq!(request.spec.name.as_str(), "web");
        assert_eq!(request.spec.interfaces.len(), 2);
        assert_eq!(
            request.spec.limits.duration.map(|d| d.as_secs()),
            Some(3600)
        );
        let capture_types::Output::Files(files) = &request.spec.output else {
            panic!("files are the default");
        };
        assert_eq!(files.retention.max_files, Some(5));
        assert_eq!(request.created_by, "config");
    }
}
