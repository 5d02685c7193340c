//! A resource, and calls of the cluster API about its packets.

use capture_proto::v1;
use capture_tests::coordinator::ClusterClient;
use serde_json::{Value, json};

/// A resource as JSON.
pub(crate) fn resource(name: &str, spec: Value) -> String {
    json!({
        "apiVersion": "networking.packet.io/v1",
        "kind": "PacketCaptureConfig",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

/// The live packets of a capture.
pub(crate) fn stream(
    client: &ClusterClient,
    name: &str,
) -> Result<tonic::Streaming<v1::StreamClusterPacketsResponse>, Box<tonic::Status>> {
    let message = v1::StreamClusterPacketsRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let request = client
        .request(message)
        .map_err(|error| Box::new(tonic::Status::internal(error.to_string())))?;
    let answer = client.wait(client.service.clone().stream_cluster_packets(request));
    answer.map(tonic::Response::into_inner).map_err(Box::new)
}

/// The files of a capture, by node.
pub(crate) fn files(
    client: &ClusterClient,
    name: &str,
) -> Result<Vec<v1::ClusterNodeFiles>, Box<tonic::Status>> {
    let message = v1::ListClusterFilesRequest {
        name: name.to_owned(),
    };
    let request = client
        .request(message)
        .map_err(|error| Box::new(tonic::Status::internal(error.to_string())))?;
    let answer = client.wait(client.service.clone().list_cluster_files(request));
    answer
        .map(|answer| answer.into_inner().nodes)
        .map_err(Box::new)
}
