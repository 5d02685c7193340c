//! The nodes and how to reach them, from several sources: for each setting, the first layer that sets it
//! decides.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use thiserror::Error;

use crate::{Address, CallOptions, Target, Tls};

/// The daemon's default socket.
pub const DEFAULT_SOCKET: &str = "/run/captured/captured.sock";
/// Default time limit for an answer.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A node's address is not valid.
    #[error("node {0:?}: write HOST:PORT, as in node7:9443 or [2001:db8::7]:9443")]
    Node(String),
    /// A node is in the list twice.
    #[error("node {0} is named twice")]
    Duplicate(String),
    /// Certificates are missing for a node that is reached over TLS.
    #[error(
        "node {0} is reached over TLS, which needs cacert, cert and key, or a context with them; insecure \
         goes without, where the daemon allows it"
    )]
    NoCertificates(String),
    /// The timeout is not valid.
    #[error("timeout {0:?}: give a number with ms, s, m or h, as in 30s")]
    Timeout(String),
}

/// Settings from one source; unset ones are left to the next layer.
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
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
    /// The name in the nodes' certificates.
    pub tls_server_name: Option<String>,
    /// Whether to connect without TLS.
    pub insecure: Option<bool>,
    /// Time limit for an answer, as in "30s".
    pub timeout: Option<String>,
}

/// The effective settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The nodes; at least one.
    pub targets: Vec<Target>,
    /// Time limit for an answer; `None` if no layer sets it.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// For requests with an immediate answer.
    #[must_use]
    pub fn call_options(&self, reason: &str) -> CallOptions {
        CallOptions {
            timeout: Some(self.timeout.unwrap_or(DEFAULT_TIMEOUT)),
            reason: reason.to_owned(),
        }
    }

    /// For requests that wait for a capture to end: a deadline only if one was set.
    #[must_use]
    pub fn patient_call_options(&self, reason: &str) -> CallOptions {
        CallOptions {
            timeout: self.timeout,
            reason: reason.to_owned(),
        }
    }

    /// Merges layers; earlier layers take precedence. Without any node, the daemon of this machine is
    /// used.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn merge(layers: &[Layer]) -> Result<Self, SettingsError> {
        // Nodes and socket are one setting: the first layer that has either decides.
        let place = layers
            .iter()
            .find(|layer| !layer.nodes.is_empty() || layer.socket.is_some());
        let first = |get: fn(&Layer) -> Option<PathBuf>| layers.iter().find_map(get);
        let security = Security {
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
                let target = security.target(node)?;
                if targets.contains(&target) {
                    return Err(SettingsError::Duplicate(node.clone()));
                }
                targets.push(target);
            }
            targets.extend(place.socket.clone().map(Target::socket));
        } else {
            targets.push(Target::socket(PathBuf::from(DEFAULT_SOCKET)));
        }
        let timeout = layers.iter().find_map(|layer| layer.timeout.as_deref());
        Ok(Self {
            targets,
            timeout: timeout.map(duration).transpose()?,
        })
    }
}

/// Security of TCP connections.
struct Security {
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    server_name: Option<String>,
    insecure: bool,
}

impl Security {
    fn target(&self, node: &str) -> Result<Target, SettingsError> {
        let valid = node.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !valid || node.contains('/') {
            return Err(SettingsError::Node(node.to_owned()));
        }
        let tls = match (&self.cacert, &self.cert, &self.key) {
            _ if self.insecure => None,
            (Some(cacert), Some(cert), Some(key)) => Some(Tls {
                cacert: cacert.clone(),
                cert: cert.clone(),
                key: key.clone(),
                server_name: self.server_name.clone(),
            }),
            _ => return Err(SettingsError::NoCertificates(node.to_owned())),
        };
        Ok(Target {
            address: Address::Tcp(node.to_owned()),
            tls,
        })
    }
}

fn duration(text: &str) -> Result<Duration, SettingsError> {
    capture_types::values::duration(text).map_err(|_| SettingsError::Timeout(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn nodes(names: &[&str]) -> Layer {
        Layer {
            nodes: names.iter().map(|&name| name.to_owned()).collect(),
            ..Layer::default()
        }
    }

    fn lab() -> Layer {
        Layer {
            cacert: Some(PathBuf::from("ca.pem")),
            cert: Some(PathBuf::from("me.pem")),
            key: Some(PathBuf::from("me.key")),
            timeout: Some("5s".to_owned()),
            ..nodes(&["a:9443", "b:9443"])
        }
    }

    fn labels(layers: &[Layer]) -> Vec<String> {
        let settings = Settings::merge(layers).unwrap();
        settings.targets.iter().map(Target::label).collect()
    }

    #[test]
    fn of_each_setting_the_first_layer_that_has_it_decides() {
        let context = Settings::merge(&[Layer::default(), lab()]).unwrap();
        assert_eq!(labels(&[Layer::default(), lab()]), ["a:9443", "b:9443"]);
        assert_eq!(context.timeout, Some(Duration::from_secs(5)));

        let environment = Settings::merge(&[nodes(&["c:1"]), lab()]).unwrap();
        assert_eq!(environment.targets[0].label(), "c:1");
        let tls = environment.targets[0].tls.as_ref().unwrap();
        assert_eq!(
            tls.key,
            Path::new("me.key"),
            "certificates still come from the context"
        );

        let socket = Layer {
            socket: Some(PathBuf::from("/s")),
            ..Layer::default()
        };
        assert_eq!(
            labels(&[socket, nodes(&["c:1"]), lab()]),
            ["local"],
            "a socket in the first layer beats nodes in the second"
        );
    }

    #[test]
    fn without_settings_the_socket_of_this_machine_is_meant() {
        let settings = Settings::merge(&[]).unwrap();
        let socket = Target::socket(PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(settings.targets, [socket]);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let error = |layer: Layer| Settings::merge(&[layer]).unwrap_err().to_string();
        for node in ["a", "a:", "a:0", "a:70000", ":1", "http://a:1"] {
            let error = error(nodes(&[node]));
            assert!(error.contains("HOST:PORT"), "{node}: {error}");
        }
        let bare = error(nodes(&["a:1"]));
        assert!(bare.contains("cacert"), "no certificate there: {bare}");
        let twice = error(Layer {
            insecure: Some(true),
            ..nodes(&["a:1", "a:1"])
        });
        assert!(twice.contains("twice"), "{twice}");
        let timeout = error(Layer {
            timeout: Some("60".to_owned()),
            ..Layer::default()
        });
        assert!(timeout.contains("30s"), "{timeout}");
    }
}
