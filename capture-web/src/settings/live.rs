//! Settings about how captures are reached.

use std::path::PathBuf;

use capture_client::{
    Target,
    cluster::{Coordinator, Proof},
    settings,
};

use super::values::Values;

/// How captures are reached.
#[derive(Debug, Clone)]
pub enum LiveSettings {
    /// The daemons of nodes.
    Nodes(Vec<Target>),
    /// A coordinator; its token may be in a file, which is read for each connection.
    Coordinator(Box<Coordinator>, Option<PathBuf>),
}

pub(super) fn check(values: &mut Values<'_>) -> Option<LiveSettings> {
    let insecure = values.flag("insecure");
    if !values.flag("live") {
        return None;
    }
    let (cacert, cert, key) = (
        values.file("cacert"),
        values.file("cert"),
        values.file("key"),
    );
    let tls_server_name = values.text("tls_server_name");
    if let Some(address) = values.text("coordinator") {
        let token = values.file("coordinator_token_file");
        let proof = match (cert, key, &token) {
            (Some(cert), Some(key), None) => Some(Proof::Certificate { cert, key }),
            (_, _, Some(_)) => Some(Proof::Token(String::new())),
            _ => None,
        };
        let (Some(cacert), Some(proof)) = (cacert, proof) else {
            values.wrong(
                "coordinator",
                "give cacert, and coordinator_token_file or cert and key",
            );
            return None;
        };
        let coordinator = Coordinator {
            address,
            cacert,
            server_name: tls_server_name,
            proof,
        };
        return Some(LiveSettings::Coordinator(Box::new(coordinator), token));
    }
    let nodes = values.list("nodes");
    let layer = settings::Layer {
        socket: nodes.is_empty().then(|| values.file("socket")).flatten(),
        nodes,
        cacert,
        cert,
        key,
        tls_server_name,
        insecure: Some(insecure),
        timeout: None,
    };
    match settings::Settings::merge(&[layer]) {
        Ok(settings) => Some(LiveSettings::Nodes(settings.targets)),
        Err(error) => {
            values.wrong("nodes", error);
            None
        }
    }
}
