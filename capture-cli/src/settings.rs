//! From flags, environment and configuration file to the nodes that a command goes to. A flag beats
//! the environment, which beats the context of the file.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use thiserror::Error;

use crate::{
    client::Manner,
    target::{Address, Target, Tls},
};

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/captured/captured.sock";
/// How long an answer may take unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it should.
    #[error("configuration file {}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// There is no such context.
    #[error("there is no context {name:?} in {}: it has {known}", path.display())]
    NoContext {
        /// The name asked for.
        name: String,
        /// Those there are.
        known: String,
        /// The file.
        path: PathBuf,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Senseless(String),
}

/// The configuration file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// The context that holds when none is named.
    pub current_context: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Layer>,
}

/// Settings from one source; what is not set there is left to the next.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layer {
    /// Nodes as `HOST:PORT`.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// A socket on this machine.
    pub socket: Option<PathBuf>,
    /// Certificate of the authority.
    pub cacert: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name in the nodes' certificates.
    pub tls_server_name: Option<String>,
    /// Without TLS.
    pub insecure: Option<bool>,
    /// How long an answer may take, as in "30s".
    pub timeout: Option<String>,
}

/// What holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The nodes; at least one.
    pub targets: Vec<Target>,
    /// How long an answer may take; `None`: nobody said.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// How quick questions are asked.
    #[must_use]
    pub fn manner(&self, reason: &str) -> Manner {
        Manner {
            timeout: Some(self.timeout.unwrap_or(DEFAULT_TIMEOUT)),
            reason: reason.to_owned(),
        }
    }

    /// How requests are made that wait for a capture to end: a deadline only where one was given.
    #[must_use]
    pub fn patient_manner(&self, reason: &str) -> Manner {
        Manner {
            timeout: self.timeout,
            reason: reason.to_owned(),
        }
    }
}

/// Puts the layers together.
///
/// # Errors
/// The context does not exist, or what results makes no sense.
pub fn settle(
    flags: Layer,
    environment: Layer,
    context: Option<&str>,
    file: &File,
    path: &Path,
) -> Result<Settings, SettingsError> {
    let name = context.or(file.current_context.as_deref());
    let saved = match name {
        None => Layer::default(),
        Some(name) => file.contexts.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = file.contexts.keys().map(String::as_str).collect();
            SettingsError::NoContext {
                name: name.to_owned(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                },
                path: path.to_owned(),
            }
        })?,
    };
    // Nodes and socket are one setting: the first layer that has either decides.
    let layers = [&flags, &environment, &saved];
    let place = layers
        .iter()
        .find(|layer| !layer.nodes.is_empty() || layer.socket.is_some());
    let first = |get: fn(&Layer) -> Option<PathBuf>| layers.iter().find_map(|layer| get(layer));
    let tls = Trust {
        cacert: first(|layer| layer.cacert.clone()),
        cert: first(|layer| layer.cert.clone()),
        key: first(|layer| layer.key.clone()),
        server_name: layers
            .iter()
            .find_map(|layer| layer.tls_server_name.clone()),
        insecure: layers.iter().find_map(|layer| layer.insecure) == Some(true),
    };
    let mut targets = Vec::new();
    if let Some(place) = place {
        for node in &place.nodes {
            let target = tls.target(node)?;
            if targets.contains(&target) {
                return Err(SettingsError::Senseless(format!(
                    "node {node} is named twice"
                )));
            }
            targets.push(target);
        }
        targets.extend(place.socket.clone().map(at_socket));
    } else {
        targets.push(at_socket(PathBuf::from(DEFAULT_SOCKET)));
    }
    let timeout = layers.iter().find_map(|layer| layer.timeout.as_deref());
    Ok(Settings {
        targets,
        timeout: timeout.map(duration).transpose()?,
    })
}

const fn at_socket(path: PathBuf) -> Target {
    Target {
        address: Address::Unix(path),
        tls: None,
    }
}

struct Trust {
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    server_name: Option<String>,
    insecure: bool,
}

impl Trust {
    fn target(&self, node: &str) -> Result<Target, SettingsError> {
        let valid = node.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !valid || node.contains('/') {
            return Err(SettingsError::Senseless(format!(
                "node {node:?}: write HOST:PORT, as in node7:9443 or [2001:db8::7]:9443"
            )));
        }
        let tls = match (&self.cacert, &self.cert, &self.key) {
            _ if self.insecure => None,
            (Some(cacert), Some(cert), Some(key)) => Some(Tls {
                cacert: cacert.clone(),
                cert: cert.clone(),
                key: key.clone(),
                server_name: self.server_name.clone(),
            }),
            _ => {
                return Err(SettingsError::Senseless(format!(
                    "node {node} is reached over TLS, which needs --cacert, --cert and --key, or a \
                     context with them; --insecure goes without, where the daemon allows it"
                )));
            }
        };
        Ok(Target {
            address: Address::Tcp(node.to_owned()),
            tls,
        })
    }
}

fn duration(text: &str) -> Result<Duration, SettingsError> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(SettingsError::Senseless(format!(
            "timeout {text:?}: give a number with ms, s, m or h, as in 30s"
        ))),
    }
}

/// The layer that the environment is: `CAPTURECTL_NODES` (with commas between), `_SOCKET`, `_CACERT`,
/// `_CERT`, `_KEY`, `_TLS_SERVER_NAME`, `_INSECURE` and `_TIMEOUT`.
///
/// # Errors
/// A variable that begins with `CAPTURECTL_` and is none of these nor `_CONTEXT`, `_CONFIG`.
pub fn from_environment(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Layer, SettingsError> {
    let mut layer = Layer::default();
    for (name, value) in variables {
        let Some(setting) = name.strip_prefix("CAPTURECTL_") else {
            continue;
        };
        let path = || Some(PathBuf::from(&value));
        match setting {
            "NODES" => {
                let nodes = value
                    .split(',')
                    .map(str::trim)
                    .filter(|node| !node.is_empty());
                layer.nodes = nodes.map(str::to_owned).collect();
            }
            "SOCKET" => layer.socket = path(),
            "CACERT" => layer.cacert = path(),
            "CERT" => layer.cert = path(),
            "KEY" => layer.key = path(),
            "TLS_SERVER_NAME" => layer.tls_server_name = Some(value),
            "INSECURE" => {
                layer.insecure = Some(value.parse().map_err(|_| {
                    SettingsError::Senseless(format!("{name}={value}: write true or false"))
                })?);
            }
            "TIMEOUT" => layer.timeout = Some(value),
            // clap reads these.
            "CONTEXT" | "CONFIG" => {}
            _ => {
                return Err(SettingsError::Senseless(format!(
                    "the environment has {name}, which is no setting: known are CAPTURECTL_NODES, \
                     _SOCKET, _CACERT, _CERT, _KEY, _TLS_SERVER_NAME, _INSECURE, _TIMEOUT, _CONTEXT \
                     and _CONFIG"
                )));
            }
        }
    }
    Ok(layer)
}

/// Reads the file; one that is not there is empty, unless somebody named it.
///
/// # Errors
/// It cannot be read, is not TOML, or has a key that is none.
pub fn read(path: &Path, named: bool) -> Result<File, SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
            return Ok(File::default());
        }
        Err(source) => {
            return Err(SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    toml::from_str(&text).map_err(|error| SettingsError::Invalid {
        path: path.to_owned(),
        problem: error.to_string().trim_end().to_owned(),
    })
}

/// `$XDG_CONFIG_HOME/capturectl/config.toml`, or that in `~/.config`.
#[must_use]
pub fn default_path() -> PathBuf {
    let base = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        // The XDG specification: a relative path is to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/etc"));
    base.join("capturectl/config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        current-context = "lab"
        [contexts.lab]
        nodes = ["a:9443", "b:9443"]
        cacert = "ca.pem"
        cert = "me.pem"
        key = "me.key"
        timeout = "5s"
        [contexts.here]
        socket = "/tmp/captured.sock"
    "#;

    fn settled(
        flags: Layer,
        environment: Layer,
        context: Option<&str>,
    ) -> Result<Settings, String> {
        let file: File = toml::from_str(FILE).unwrap();
        settle(flags, environment, context, &file, Path::new("config.toml"))
            .map_err(|error| error.to_string())
    }

    fn labels(settings: &Settings) -> Vec<String> {
        settings.targets.iter().map(Target::label).collect()
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_context() {
        let nodes = |names: &[&str]| Layer {
            nodes: names.iter().map(|&name| name.to_owned()).collect(),
            ..Layer::default()
        };
        let context = settled(Layer::default(), Layer::default(), None).unwrap();
        assert_eq!(labels(&context), ["a:9443", "b:9443"]);
        assert_eq!(context.timeout, Some(Duration::from_secs(5)));

        let environment = settled(Layer::default(), nodes(&["c:1"]), None).unwrap();
        assert_eq!(labels(&environment), ["c:1"]);
        let tls = environment.targets[0].tls.as_ref().unwrap();
        assert_eq!(
            tls.key,
            Path::new("me.key"),
            "certificates still come from the context"
        );

        let flag = settled(nodes(&["d:1"]), nodes(&["c:1"]), None).unwrap();
        assert_eq!(labels(&flag), ["d:1"]);

        let socket = Layer {
            socket: Some(PathBuf::from("/s")),
            ..Layer::default()
        };
        let flag = settled(socket, nodes(&["c:1"]), None).unwrap();
        assert_eq!(
            labels(&flag),
            ["local"],
            "a socket by flag beats nodes by environment"
        );

        let here = settled(Layer::default(), Layer::default(), Some("here")).unwrap();
        assert_eq!(
            here.targets[0].address,
            Address::Unix(PathBuf::from("/tmp/captured.sock"))
        );
    }

    #[test]
    fn without_settings_the_socket_of_this_machine_is_meant() {
        let settings = settle(
            Layer::default(),
            Layer::default(),
            None,
            &File::default(),
            Path::new("none"),
        )
        .unwrap();
        assert_eq!(settings.targets, [at_socket(PathBuf::from(DEFAULT_SOCKET))]);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let no_context = settled(Layer::default(), Layer::default(), Some("lap")).unwrap_err();
        assert!(no_context.contains("here, lab"), "{no_context}");
        for node in ["a", "a:", "a:0", "a:70000", ":1", "http://a:1"] {
            let flags = Layer {
                nodes: vec![node.to_owned()],
                ..Layer::default()
            };
            let error = settled(flags, Layer::default(), None).unwrap_err();
            assert!(error.contains("HOST:PORT"), "{node}: {error}");
        }
        let flags = Layer {
            nodes: vec!["a:1".to_owned()],
            ..Layer::default()
        };
        let error = settled(flags, Layer::default(), Some("here")).unwrap_err();
        assert!(error.contains("--cacert"), "no certificate there: {error}");
        let twice = Layer {
            nodes: vec!["a:1".to_owned(), "a:1".to_owned()],
            ..Layer::default()
        };
        assert!(settled(twice, Layer::default(), None).is_err());
    }

    #[test]
    fn keys_and_variables_that_are_none_are_refused() {
        for text in [
            "contexts.a.node = ['x:1']",
            "current = 'a'",
            "contexts.a.insecure = 'yes'",
        ] {
            assert!(toml::from_str::<File>(text).is_err(), "{text}");
        }
        let variable = |name: &str, value: &str| {
            from_environment(std::iter::once((name.to_owned(), value.to_owned())))
        };
        assert!(variable("CAPTURECTL_NODE", "a:1").is_err());
        assert!(variable("CAPTURECTL_INSECURE", "maybe").is_err());
        assert_eq!(variable("HOME", "/root").unwrap(), Layer::default());
        let nodes = variable("CAPTURECTL_NODES", "a:1, b:2,").unwrap().nodes;
        assert_eq!(nodes, ["a:1", "b:2"]);
    }
}
