//! The environment as a layer of settings.

use std::path::PathBuf;

use capture_client::settings::Layer;
use thiserror::Error;

/// Why the environment cannot be used.
#[derive(Debug, Error)]
pub(super) enum EnvironmentError {
    #[error(
        "the environment has {0}, which is not a setting: known are CAPTURECTL_NODES, _SOCKET, _CACERT, \
         _CERT, _KEY, _TLS_SERVER_NAME, _INSECURE, _TIMEOUT, _CONTEXT and _CONFIG"
    )]
    Unknown(String),
    #[error("{name}={value}: write true or false")]
    NotBoolean { name: String, value: String },
}

/// `CAPTURECTL_NODES` (separated by commas), `_SOCKET`, `_CACERT`, `_CERT`, `_KEY`, `_TLS_SERVER_NAME`,
/// `_INSECURE` and `_TIMEOUT`. Unknown variables that begin with `CAPTURECTL_` are rejected.
pub(super) fn layer(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Layer, EnvironmentError> {
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
            "INSECURE" => match value.parse() {
                Ok(insecure) => layer.insecure = Some(insecure),
                Err(_) => return Err(EnvironmentError::NotBoolean { name, value }),
            },
            "TIMEOUT" => layer.timeout = Some(value),
            // clap reads these.
            "CONTEXT" | "CONFIG" => {}
            _ => return Err(EnvironmentError::Unknown(name)),
        }
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_are_rejected() {
        let variable =
            |name: &str, value: &str| layer(std::iter::once((name.to_owned(), value.to_owned())));
        assert!(variable("CAPTURECTL_NODE", "a:1").is_err());
        assert!(variable("CAPTURECTL_INSECURE", "maybe").is_err());
        assert_eq!(variable("HOME", "/root").unwrap(), Layer::default());
        let nodes = variable("CAPTURECTL_NODES", "a:1, b:2,").unwrap().nodes;
        assert_eq!(nodes, ["a:1", "b:2"]);
    }
}
