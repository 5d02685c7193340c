//! A capture of a cluster as the `spec` of a `PacketCaptureConfig`, the resource of Kubernetes that stands for it.
//! What writes such resources uses this one mapping: the coordinator for its clients, and `kubectl capture start`.

use std::time::Duration;

use capture_types::{CompressWhen, DigestAlgorithm, Directions, Format};
use serde_json::{Map, Value, json};

use crate::{
    cluster::{ClusterSpec, PodSelector},
    model::{Codec, Compression, FileOutput, Output, Spec},
};

/// The resource's plural with its group.
pub const RESOURCE: &str = "packetcaptureconfigs.networking.packet.io";
/// An annotation of a resource: its files are deleted with it.
pub const DELETE_FILES: &str = "networking.packet.io/delete-files";

/// The duration of captures without a limit, the longest that the resource accepts.
const LONGEST: Duration = Duration::from_secs(31_536_000);

/// A field of a request that the resource cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: a PacketCaptureConfig cannot express this; {fix}")]
pub struct NotInResource {
    /// The field, by its name in the API.
    pub field: &'static str,
    /// What to do instead.
    pub fix: &'static str,
}

/// The resource's `spec`. Limits that are not set are the widest that the resource has: its own defaults are a
/// minute and a thousand packets.
///
/// # Errors
/// The first field that the resource cannot express.
pub fn spec(request: &ClusterSpec) -> Result<Map<String, Value>, NotInResource> {
    let capture = &request.capture;
    inexpressible(capture)?;
    let mut spec = Map::new();
    let mut set = |key: &str, value: Value| drop(spec.insert(key.to_owned(), value));
    if let Some(pods) = &request.pods {
        set("podSelector", pod_selector(pods));
    }
    if !capture.targets.is_empty() {
        set("targetIPs", json!(capture.targets));
    }
    if !capture.ports.is_empty() {
        set("targetPorts", json!(capture.ports));
    }
    if !capture.filter.is_empty() {
        set("filter", json!(capture.filter));
    }
    if !request.nodes.is_empty() {
        set("nodeNames", json!(request.nodes));
    }
    if !request.node_labels.is_empty() {
        set("nodeSelector", json!(request.node_labels));
    }
    if !capture.interfaces.is_empty() {
        set("interfaces", json!(capture.interfaces));
    }
    if let Some(once) = capture.each_packet_once {
        set("eachPacketOnce", json!(once));
    }
    if let Some(direction) = capture.direction {
        let direction = match direction {
            Directions::In => "in",
            Directions::Out => "out",
            Directions::InOut => "inout",
        };
        set("direction", json!(direction));
    }
    if let Some(snaplen) = capture.snaplen {
        set("snaplen", json!(snaplen));
    }
    let duration = capture.limits.duration.map_or(LONGEST, |span| span.0);
    set(
        "duration",
        json!(whole_seconds("limits.duration", duration)?),
    );
    let packets = capture.limits.packets.unwrap_or(u64::MAX);
    set(
        "maxPackets",
        json!(i64::try_from(packets).unwrap_or(i64::MAX)),
    );
    let (format, files) = output(capture.output.as_ref())?;
    set("outputFormat", json!(format));
    let none = FileOutput::default();
    let files = files.unwrap_or(&none);
    if let Some(compression) = &files.compression {
        set("compression", self::compression(compression)?);
    }
    let mut rotation = Map::new();
    if let Some(bytes) = files.rotation.max_file_bytes {
        rotation.insert("maxFileSize".to_owned(), json!(bytes));
    }
    if let Some(interval) = files.rotation.interval {
        let seconds = whole_seconds("rotation.interval", interval.0)?;
        rotation.insert("maxAge".to_owned(), json!(seconds));
    }
    if let Some(packets) = files.rotation.max_packets {
        rotation.insert("maxPackets".to_owned(), json!(packets));
    }
    if !rotation.is_empty() {
        set("rotation", rotation.into());
    }
    let mut retention = Map::new();
    if let Some(files) = files.retention.max_files {
        retention.insert("maxFiles".to_owned(), json!(files));
    }
    if let Some(bytes) = files.retention.max_bytes {
        retention.insert("maxBytes".to_owned(), json!(bytes));
    }
    if let Some(ttl) = request.ttl {
        retention.insert("ttl".to_owned(), json!(whole_seconds("ttl", ttl.0)?));
    }
    if !retention.is_empty() {
        set("retention", retention.into());
    }
    if !capture.export.is_empty() {
        set("export", json!(capture.export));
    }
    Ok(spec)
}

fn pod_selector(pods: &PodSelector) -> Value {
    let mut selector = Map::new();
    if !pods.names.is_empty() {
        let name = |pod: &crate::cluster::PodName| json!({ "namespace": pod.namespace, "podName": pod.name });
        selector.insert("pods".to_owned(), pods.names.iter().map(name).collect());
    }
    if !pods.labels.is_empty() {
        let labels = json!({ "matchLabels": pods.labels });
        selector.insert("labelSelector".to_owned(), labels);
    }
    if !pods.namespaces.is_empty() {
        selector.insert("namespaces".to_owned(), json!(pods.namespaces));
    }
    selector.into()
}

/// Fails for a field that has no counterpart.
fn inexpressible(capture: &Spec) -> Result<(), NotInResource> {
    let excluded = "exclude them in the filter, as in `not host 192.0.2.1`";
    let limits = &capture.limits;
    let fields = [
        (
            capture.pods.is_some(),
            "capture.pods",
            "select pods with `pods` of the cluster's spec",
        ),
        (
            capture.inner_filter.is_some(),
            "inner_filter",
            "leave it out",
        ),
        (
            !capture.excluded_targets.is_empty(),
            "excluded_targets",
            excluded,
        ),
        (
            !capture.excluded_ports.is_empty(),
            "excluded_ports",
            excluded,
        ),
        (capture.ring_size.is_some(), "ring_size", "leave it out"),
        (
            capture.promiscuous == Some(false),
            "promiscuous",
            "leave it out",
        ),
        (
            capture.include_own_traffic,
            "include_own_traffic",
            "leave it out",
        ),
        (
            limits.bytes.is_some(),
            "limits.bytes",
            "limit the packets or the time",
        ),
        (
            limits.deadline.is_some(),
            "limits.deadline",
            "limit the packets or the time",
        ),
    ];
    match fields.into_iter().find(|(is_set, ..)| *is_set) {
        Some((_, field, fix)) => Err(NotInResource { field, fix }),
        None => Ok(()),
    }
}

fn whole_seconds(field: &'static str, time: Duration) -> Result<u64, NotInResource> {
    if time.subsec_nanos() == 0 {
        return Ok(time.as_secs());
    }
    let fix = "give whole seconds";
    Err(NotInResource { field, fix })
}

/// The output's format, and its files.
fn output(output: Option<&Output>) -> Result<(&'static str, Option<&FileOutput>), NotInResource> {
    let (format, files) = match output {
        None => ("pcapng", None),
        Some(Output::Stdout {}) => ("stdout", None),
        Some(Output::Text(files)) => ("text", Some(files)),
        Some(Output::Files(files)) => match files.format {
            Some(Format::Pcap) => ("pcap", Some(files)),
            Some(Format::Pcapng | Format::Text) | None => ("pcapng", Some(files)),
        },
    };
    let unusual = |digest: Option<DigestAlgorithm>| digest != Some(DigestAlgorithm::default());
    if let Some(Output::Files(files)) = output
        && unusual(files.digest)
    {
        let fix = "leave it out: files have the digest xxh128";
        return Err(NotInResource {
            field: "output.files.digest",
            fix,
        });
    }
    if files.is_some_and(|files| files.retention.max_age.is_some()) {
        let fix = "use ttl, which counts from the end of the capture";
        return Err(NotInResource {
            field: "retention.max_age",
            fix,
        });
    }
    Ok((format, files))
}

fn compression(compression: &Compression) -> Result<Value, NotInResource> {
    if compression.when == Some(CompressWhen::Streaming) {
        let fix = "leave it out: files are compressed when they are complete";
        return Err(NotInResource {
            field: "compression.when",
            fix,
        });
    }
    let codec = match compression.codec {
        Codec::None => "none",
        Codec::Gzip | Codec::Unknown => "gzip",
        Codec::Zstd => "zstd",
    };
    let mut value = json!({ "codec": codec });
    if let Some(level) = compression.level {
        value["level"] = level.into();
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        cluster::PodName,
        model::{Limits, Retention, Rotation, Span},
    };

    fn seconds(seconds: u64) -> Option<Span> {
        Some(Span(Duration::from_secs(seconds)))
    }

    #[test]
    fn every_field_of_a_request_has_its_place_in_the_resource() {
        let request = ClusterSpec {
            nodes: vec!["n1".to_owned()],
            pods: Some(PodSelector {
                names: vec![PodName {
                    namespace: "shop".to_owned(),
                    name: "web-0".to_owned(),
                }],
                labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
                namespaces: vec!["shop".to_owned()],
            }),
            capture: Spec {
                interfaces: vec!["eth*".to_owned()],
                direction: Some(Directions::InOut),
                snaplen: Some(128),
                each_packet_once: Some(false),
                filter: "tcp".to_owned(),
                targets: vec!["192.0.2.1".to_owned()],
                ports: vec![80],
                output: Some(Output::Files(FileOutput {
                    format: Some(Format::Pcap),
                    compression: Some(Compression {
                        codec: Codec::Zstd,
                        level: Some(3),
                        when: None,
                    }),
                    rotation: Rotation {
                        max_file_bytes: Some(1 << 20),
                        interval: seconds(60),
                        max_packets: Some(9),
                    },
                    retention: Retention {
                        max_files: Some(7),
                        max_bytes: Some(1 << 30),
                        max_age: None,
                    },
                    digest: Some(DigestAlgorithm::default()),
                })),
                limits: Limits {
                    duration: seconds(300),
                    packets: Some(1000),
                    ..Limits::default()
                },
                export: vec!["archive".to_owned()],
                ..Spec::default()
            },
            node_labels: BTreeMap::from([("disk".to_owned(), "fast".to_owned())]),
            ttl: seconds(3600),
        };
        let expected = json!({
            "podSelector": {
                "pods": [{ "namespace": "shop", "podName": "web-0" }],
                "labelSelector": { "matchLabels": { "app": "web" } },
                "namespaces": ["shop"],
            },
            "targetIPs": ["192.0.2.1"],
            "targetPorts": [80],
            "filter": "tcp",
            "nodeNames": ["n1"],
            "nodeSelector": { "disk": "fast" },
            "interfaces": ["eth*"],
            "direction": "inout",
            "snaplen": 128,
            "eachPacketOnce": false,
            "duration": 300,
            "maxPackets": 1000,
            "outputFormat": "pcap",
            "compression": { "codec": "zstd", "level": 3 },
            "rotation": { "maxFileSize": 1 << 20, "maxAge": 60, "maxPackets": 9 },
            "retention": { "maxFiles": 7, "maxBytes": 1 << 30, "ttl": 3600 },
            "export": ["archive"],
        });
        assert_eq!(Value::from(spec(&request).unwrap()), expected);
    }

    #[test]
    fn without_limits_the_widest_are_written() {
        let expected = json!({
            "duration": 31_536_000,
            "maxPackets": i64::MAX,
            "outputFormat": "pcapng",
        });
        assert_eq!(
            Value::from(spec(&ClusterSpec::default()).unwrap()),
            expected
        );
    }

    #[test]
    fn what_the_resource_lacks_is_named() {
        let of = |change: fn(&mut Spec)| {
            let mut request = ClusterSpec::default();
            change(&mut request.capture);
            spec(&request).unwrap_err().field
        };
        assert_eq!(of(|spec| spec.limits.bytes = Some(1)), "limits.bytes");
        assert_eq!(of(|spec| spec.excluded_ports = vec![22]), "excluded_ports");
        let half = |spec: &mut Spec| spec.limits.duration = Some(Span(Duration::from_millis(500)));
        assert_eq!(of(half), "limits.duration");
        let sha256 = |spec: &mut Spec| {
            spec.output = Some(Output::Files(FileOutput {
                digest: Some(DigestAlgorithm::Sha256),
                ..FileOutput::default()
            }));
        };
        assert_eq!(of(sha256), "output.files.digest");
    }
}
