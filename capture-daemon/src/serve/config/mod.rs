//! The daemon's configuration: read, layered, and checked as a whole before anything is done.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use super::{captures, clients};
use crate::{
    grpc::{Bounds, Defaults},
    log,
    manager::{BudgetLimits, Order},
    tls,
};
use capture_types::{Role, values};

mod layers;

pub use layers::{LayerError, Layers, Origin, Tables};

const DEFAULTS: &str = include_str!("defaults.toml");

/// What the daemon keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    /// The unix socket; none if empty.
    pub socket: Option<PathBuf>,
    /// Users that may connect to it, beside root and the daemon's own.
    pub socket_users: Vec<u32>,
    /// What the daemon remembers.
    pub state_dir: PathBuf,
    /// Where captures go.
    pub data_dir: PathBuf,
    /// The node's name.
    pub node_name: String,
    /// What is logged.
    pub log: String,
    /// How it looks.
    pub log_format: log::Format,
    /// TCP for clients with certificates.
    pub tls: Option<tls::Settings>,
    /// TCP for anyone.
    pub insecure_listen: Option<SocketAddr>,
    /// Metrics over HTTP.
    pub metrics: Option<SocketAddr>,
    /// How long captures may take to end when the daemon is told to end.
    pub shutdown_timeout: Duration,
    /// What captures share.
    pub limits: BudgetLimits,
    /// How many clients there may be.
    pub clients: Bounds,
    /// What captures have where nothing is said.
    pub defaults: Defaults,
    /// Captures that start with the daemon.
    pub captures: Vec<Order>,
}

/// Everything that is wrong with a configuration.
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

/// Reads the layers: the file, if there is one, then the environment, then flags as keys and texts.
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

/// Collects what is wrong while values are taken from the layers.
struct Reader<'a> {
    layers: &'a Layers,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, key: &str, reason: impl fmt::Display) {
        let (value, origin) = (self.layers.text(key), self.layers.origin(key));
        self.wrong
            .push(format!("{origin}: {key} = {value:?}: {reason}"));
    }

    fn take<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.layers.text(key)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(key, error);
                None
            }
        }
    }

    /// Nothing, if the text is empty.
    fn maybe<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.layers.text(key).is_empty() {
            None
        } else {
            self.take(key, parse)
        }
    }

    fn path(&mut self, key: &str) -> PathBuf {
        let path = PathBuf::from(self.layers.text(key));
        if !path.is_absolute() {
            self.wrong(key, "give an absolute path");
        }
        path
    }

    /// TCP for clients with certificates, if it is wanted. Roles are checked in any case.
    fn tls(&mut self, clients: &[toml::Value]) -> Option<tls::Settings> {
        let listen = self.maybe("listen", address);
        let default = self.maybe("tls.default_role", role);
        let mut entries = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            match clients::entry(client) {
                Ok(entry) => entries.push(entry),
                Err(error) => self.wrong.push(format!("client {}: {error}", at + 1)),
            }
        }
        let listen = listen?;
        let mut named = |key| {
            if self.layers.text(key).is_empty() {
                self.wrong(
                    key,
                    "clients that come to listen need it: name a file in PEM",
                );
                return None;
            }
            Some(self.path(key))
        };
        let (certificate, key) = (named("tls.certificate"), named("tls.key"));
        let client_ca = named("tls.client_ca");
        let roles = tls::Roles::new(entries, default);
        if roles.is_empty() && clients.is_empty() {
            self.wrong(
                "listen",
                "every client would be refused: add [[client]] with cn or san and role to the \
                 configuration file, or set tls.default_role",
            );
        }
        let files = tls::Files {
            certificate: certificate?,
            key: key?,
            client_ca: client_ca?,
        };
        for error in files.check() {
            self.wrong(error.setting, error.problem);
        }
        Some(tls::Settings {
            listen,
            files,
            roles: roles.into(),
        })
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &str, least: u64) -> Option<T> {
        let number = self.layers.number(key);
        let fits = T::try_from(number).ok().filter(|_| number >= least);
        if fits.is_none() {
            let origin = self.layers.origin(key);
            self.wrong.push(format!(
                "{origin}: {key} = {number}: give a number from {least} on"
            ));
        }
        fits
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give ADDRESS:PORT, as in 127.0.0.1:9100 or [::]:50051".to_owned())
}

/// A size, where 0 means none.
fn size_or_none(text: &str) -> Result<Option<u64>, values::ValueError> {
    if text == "0" {
        Ok(None)
    } else {
        values::size(text).map(Some)
    }
}

fn role(text: &str) -> Result<Role, &'static str> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "operator" => Ok(Role::Operator),
        _ => Err("give viewer or operator"),
    }
}

fn log_format(text: &str) -> Result<log::Format, &'static str> {
    match text {
        "text" => Ok(log::Format::Text),
        "json" => Ok(log::Format::Json),
        _ => Err("give text or json"),
    }
}

impl Config {
    /// Checks every value; all that is wrong is told at once.
    pub fn check(layers: &Layers, tables: &Tables) -> Result<Self, ConfigError> {
        let mut reader = Reader {
            layers,
            wrong: Vec::new(),
        };
        let config = Self::from_reader(&mut reader, tables);
        match config {
            Some(config) if reader.wrong.is_empty() => Ok(config),
            _ => Err(ConfigError(reader.wrong)),
        }
    }

    fn from_reader(from: &mut Reader<'_>, tables: &Tables) -> Option<Self> {
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
        let (log, log_format) = (
            from.layers.text("log").to_owned(),
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
        let mut orders = Vec::new();
        for (at, capture) in tables.captures.iter().enumerate() {
            match captures::order(capture, &defaults) {
                Ok(order) => orders.push(order),
                Err(error) => from.wrong.push(format!("capture {}: {error}", at + 1)),
            }
        }
        Some(Self {
            socket,
            socket_users: users,
            state_dir,
            data_dir,
            node_name: node_name(from.layers.text("node_name")),
            log,
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
            },
            clients: Bounds {
                connections: connections?,
                handshakes: handshakes?,
            },
            defaults,
            captures: orders,
        })
    }
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
            "state_dir = \"relative\"\nshutdown_timeout = \"x\"\n[metrics]\nlisten = \"here\"\n\
             [[capture]]\nname = \"bad name\"\n[[capture]]\nnmae = \"a\"",
        )
        .expect_err("wrong");
        for part in [
            "state_dir",
            "shutdown_timeout",
            "metrics.listen",
            "capture 1",
            "nmae",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(error.contains("file f.toml"), "{error}");
    }

    #[test]
    fn the_readme_has_every_setting_with_its_variable() {
        let readme = include_str!("../../../../README.md");
        let layers = super::Layers::defaults(super::DEFAULTS).expect("defaults");
        for (key, ..) in layers.all() {
            let variable = key.replace('.', "_").to_uppercase();
            let row = format!("| `{key}` | `CAPTURED_{variable}` |");
            assert!(readme.contains(&row), "no row {row:?}");
        }
    }

    #[test]
    fn whoever_wants_clients_over_tcp_is_told_what_they_need() {
        let told = |more: &str| config(more).expect_err("wrong");
        let nothing = told("listen = \"127.0.0.1:1\"");
        for part in ["tls.certificate", "tls.key", "tls.client_ca", "[[client]]"] {
            assert!(nothing.contains(part), "{part}: {nothing}");
        }
        let missing = told(
            "listen = \"127.0.0.1:1\"\n[tls]\ncertificate = \"/no/such\"\nkey = \"/no/such\"\n\
             client_ca = \"/no/such\"\ndefault_role = \"viewer\"",
        );
        assert!(
            missing.contains("tls.certificate = \"/no/such\": there is no such file"),
            "{missing}"
        );
        let role = told("[tls]\ndefault_role = \"admin\"");
        assert!(role.contains("give viewer or operator"), "{role}");
        let client = told("[[client]]\ncn = \"a\"\nrole = \"admin\"");
        assert!(client.contains("client 1"), "{client}");
    }

    #[test]
    fn captures_of_the_file_are_what_they_say() {
        let config = config(
            "[[capture]]\nname = \"web\"\ninterfaces = [\"eth0\", \"veth*\"]\nduration = \"1h\"\n\
             compression = \"gzip:3\"\nmax_files = 5\n",
        )
        .expect("sound");
        let order = &config.captures[0];
        assert_eq!(order.spec.name.as_str(), "web");
        assert_eq!(order.spec.interfaces.len(), 2);
        assert_eq!(order.spec.limits.duration.map(|d| d.as_secs()), Some(3600));
        let capture_types::Output::Files(files) = &order.spec.output else {
            panic!("files are the default");
        };
        assert_eq!(files.retention.max_files, Some(5));
        assert_eq!(order.created_by, "config");
    }
}
