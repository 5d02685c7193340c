//! The connection to the coordinator: through a port-forward of kubectl, or to an address.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
};

use capture_client::{
    CallOptions,
    cluster::{ClusterClient, Coordinator, Proof},
    settings::DEFAULT_TIMEOUT,
};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{Cluster, program::message, token::token};
use crate::cli::exit::Error;

/// A connection, and what it goes through.
pub(super) struct Connected {
    pub(super) client: ClusterClient,
    _forward: Option<Forward>,
}

/// A running `kubectl port-forward`; ended when it is dropped.
struct Forward {
    child: Child,
    address: String,
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects.
pub(super) async fn connect(cluster: &Cluster) -> Result<Connected, Error> {
    let arguments = &cluster.arguments;
    let proof = Proof::Token(token(cluster)?);
    // Kept until the connection has read it.
    let mut published = None;
    let cacert = match &arguments.cacert {
        Some(path) => path.clone(),
        None => published.insert(authority(cluster)?).path().to_owned(),
    };
    let forward = match &arguments.coordinator {
        Some(_) => None,
        None => Some(forward(cluster)?),
    };
    let address = arguments
        .coordinator
        .clone()
        .or_else(|| forward.as_ref().map(|forward| forward.address.clone()))
        .unwrap_or_default();
    let coordinator = Coordinator {
        address,
        cacert,
        server_name: Some(arguments.tls_server_name.clone()),
        proof,
    };
    let options = CallOptions {
        timeout: Some(DEFAULT_TIMEOUT),
        reason: String::new(),
    };
    Ok(Connected {
        client: ClusterClient::connect(&coordinator, &options).await?,
        _forward: forward,
    })
}

/// The authority that the coordinator publishes.
fn authority(cluster: &Cluster) -> Result<NamedTempFile, Error> {
    let arguments = &cluster.arguments;
    let name = format!("{}-ca", arguments.coordinator_service);
    let words = [
        "get",
        "configmap",
        &name,
        "-n",
        &arguments.coordinator_namespace,
    ];
    let map: Value = cluster.kubectl.json(&words).map_err(|error| {
        Error::Failed(format!(
            "{error}; it holds the authority of the coordinator's certificate: name the coordinator's \
             namespace with --coordinator-namespace, or give --cacert"
        ))
    })?;
    let pem = map["data"]["ca.crt"].as_str().unwrap_or_default();
    let mut file = NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, pem.as_bytes())?;
    Ok(file)
}

/// Opens a port-forward to the coordinator on a free port of the loopback.
fn forward(cluster: &Cluster) -> Result<Forward, Error> {
    let arguments = &cluster.arguments;
    let service = format!("service/{}", arguments.coordinator_service);
    let words = [
        "port-forward",
        "-n",
        &arguments.coordinator_namespace,
        "--address",
        "127.0.0.1",
        &service,
        ":grpc",
    ];
    let mut child = cluster
        .kubectl
        .command(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::Failed(format!("kubectl cannot be started: {error}")))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        // What it says of each connection is read, so that it is never held up.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    }
    let mut forward = Forward {
        child,
        address: String::new(),
    };
    let mut stderr = forward.child.stderr.take();
    match forwarded(&line) {
        Some(address) => {
            forward.address = address;
            if let Some(mut stderr) = stderr {
                std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            }
            Ok(forward)
        }
        None => {
            let mut said = String::new();
            if let Some(stderr) = &mut stderr {
                stderr.read_to_string(&mut said)?;
            }
            Err(Error::Failed(format!(
                "kubectl port-forward: {}",
                message(&said)
            )))
        }
    }
}

/// `127.0.0.1:40001` of `Forwarding from 127.0.0.1:40001 -> 9443`.
fn forwarded(line: &str) -> Option<String> {
    let (address, _) = line.strip_prefix("Forwarding from ")?.split_once(" -> ")?;
    Some(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::forwarded;

    #[test]
    fn the_forwarded_address_is_read() {
        let line = "Forwarding from 127.0.0.1:40001 -> 9443\n";
        assert_eq!(forwarded(line).as_deref(), Some("127.0.0.1:40001"));
        assert_eq!(forwarded("error: no such service"), None);
    }
}
