//! Captures of the configuration file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    grpc::Defaults,
    manager::{CaptureRequest, StopConditions},
};
use capture_session::filters;
use capture_types::{
    CaptureName, CaptureSpec, CompressWhen, DigestAlgorithm, Directions, FilterSpec, Format,
    InterfacePattern, Limits, Output, OutputSpec, Retention, Rotation, SinkName, TargetSet,
    distinct_sinks, values,
};

/// A `[[capture]]` as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default)]
    interfaces: Vec<String>,
    direction: Option<RawDirection>,
    filter: Option<String>,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    excluded_targets: Vec<String>,
    #[serde(default)]
    excluded_ports: Vec<u16>,
    snaplen: Option<u32>,
    ring_size: Option<String>,
    #[serde(default = "yes")]
    promiscuous: bool,
    #[serde(default)]
    include_own_traffic: bool,
    #[serde(default)]
    each_packet_once: bool,
    format: Option<RawFormat>,
    compression: Option<String>,
    compress_when: Option<RawWhen>,
    digest: Option<RawDigest>,
    rotate_size: Option<String>,
    rotate_interval: Option<String>,
    rotate_packets: Option<u64>,
    max_files: Option<u32>,
    max_bytes: Option<String>,
    keep_for: Option<String>,
    #[serde(default)]
    export: Vec<String>,
    duration: Option<String>,
    max_packets: Option<u64>,
    max_written: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    reason: String,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawDirection {
    In,
    Out,
    Inout,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawFormat {
    Pcapng,
    Pcap,
    Text,
    /// No files: lines in the daemon's own output.
    Stdout,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawWhen {
    Streaming,
    Rotated,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawDigest {
    None,
    Xxh128,
    Sha256,
}

/// Parses a capture that is to start with the daemon. The daemon is its owner, so that a second
/// start with the same file finds it.
pub(super) fn request(value: &toml::Value, defaults: &Defaults) -> Result<CaptureRequest, String> {
    let raw: Raw = value
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| error.to_string())?;
    let field = |name: &'static str| move |error: values::ValueError| format!("{name}: {error}");
    let is_about_files = raw.compression.is_some()
        || raw.compress_when.is_some()
        || raw.digest.is_some()
        || raw.rotate_size.is_some()
        || raw.rotate_interval.is_some()
        || raw.rotate_packets.is_some()
        || raw.max_files.is_some()
        || raw.max_bytes.is_some()
        || raw.keep_for.is_some()
        || !raw.export.is_empty();
    let name = CaptureName::new(raw.name).map_err(|error| error.to_string())?;
    let filter = FilterSpec {
        expression: raw.filter,
        ..FilterSpec::default()
    };
    let compiled = filters::compiler().compile(&filter);
    compiled.map_err(|error| error.to_string())?;
    let networks = |texts: &[String]| {
        let parsed = texts.iter().map(|text| values::network(text));
        parsed.collect::<Result<Vec<_>, _>>()
    };
    let hosts = networks(&raw.targets).map_err(field("targets"))?;
    let not_hosts = networks(&raw.excluded_targets).map_err(field("excluded_targets"))?;
    let mut interfaces = Vec::new();
    for text in &raw.interfaces {
        interfaces.push(
            text.parse::<InterfacePattern>()
                .map_err(field("interfaces"))?,
        );
    }
    if interfaces.is_empty() {
        interfaces.push(InterfacePattern::Any);
    }
    let size = |name, text: Option<String>| {
        text.map(|text| values::size(&text))
            .transpose()
            .map_err(field(name))
    };
    let time = |name, text: Option<String>| {
        text.map(|text| values::duration(&text))
            .transpose()
            .map_err(field(name))
    };
    let interval = raw
        .rotate_interval
        .map(|text| values::interval(&text))
        .transpose();
    let ring_size = raw
        .ring_size
        .map(|text| values::ring_size(&text))
        .transpose();
    let export: Result<Vec<SinkName>, _> = raw.export.iter().map(|name| name.parse()).collect();
    let compression = raw.compression.map(|text| text.parse()).transpose();
    let snaplen = raw.snaplen.unwrap_or(0).to_string();
    let output = OutputSpec {
        directory: defaults.data_dir.join(name.as_str()),
        format: match raw.format {
            Some(RawFormat::Pcap) => Format::Pcap,
            Some(RawFormat::Text) => Format::Text,
            Some(RawFormat::Pcapng | RawFormat::Stdout) | None => Format::Pcapng,
        },
        compression: compression
            .map_err(field("compression"))?
            .unwrap_or(defaults.compression),
        compress_when: match raw.compress_when {
            Some(RawWhen::Rotated) => CompressWhen::Rotated,
            Some(RawWhen::Streaming) | None => CompressWhen::Streaming,
        },
        rotation: Rotation {
            size: size("rotate_size", raw.rotate_size)?.or(defaults.rotation_size),
            interval: interval.map_err(field("rotate_interval"))?,
            packets: raw.rotate_packets.filter(|packets| *packets > 0),
        },
        retention: Retention {
            max_files: raw.max_files.or(defaults.max_files),
            max_bytes: size("max_bytes", raw.max_bytes)?,
            min_free: Some(defaults.min_free),
        },
        digest: match raw.digest {
            None => Some(DigestAlgorithm::default()),
            Some(RawDigest::None) => None,
            Some(RawDigest::Xxh128) => Some(DigestAlgorithm::Xxh128),
            Some(RawDigest::Sha256) => Some(DigestAlgorithm::Sha256),
        },
    };
    let output = match raw.format {
        Some(RawFormat::Stdout) if is_about_files => {
            return Err(
                "format: stdout makes no files: leave out compression, compress_when, digest, rotate_*, \
                 max_files, max_bytes, keep_for and export, or use format = \"text\""
                    .to_owned(),
            );
        }
        Some(RawFormat::Stdout) => Output::Stdout,
        _ => Output::Files(output),
    };
    Ok(CaptureRequest {
        request_id: Some(format!("config:{name}")),
        spec: CaptureSpec {
            name,
            interfaces,
            pods: None,
            filter,
            targets: TargetSet {
                hosts: (!hosts.is_empty()).then_some(hosts),
                ports: (!raw.ports.is_empty()).then_some(raw.ports),
                not_hosts: (!not_hosts.is_empty()).then_some(not_hosts),
                not_ports: (!raw.excluded_ports.is_empty()).then_some(raw.excluded_ports),
            },
            direction: match raw.direction {
                Some(RawDirection::In) => Directions::In,
                Some(RawDirection::Out) => Directions::Out,
                Some(RawDirection::Inout) | None => Directions::InOut,
            },
            promiscuous: raw.promiscuous,
            include_own_traffic: raw.include_own_traffic,
            each_packet_once: raw.each_packet_once,
            snaplen: values::snaplen(&snaplen).map_err(field("snaplen"))?,
            ring_size: ring_size
                .map_err(field("ring_size"))?
                .unwrap_or(defaults.ring_size),
            output,
            limits: Limits {
                duration: time("duration", raw.duration)?,
                packets: raw.max_packets.filter(|packets| *packets > 0),
            },
            export: export.and_then(distinct_sinks).map_err(field("export"))?,
        },
        stop: StopConditions {
            bytes: size("max_written", raw.max_written)?,
            deadline: None,
        },
        keep_for: time("keep_for", raw.keep_for)?,
        labels: raw.labels,
        reason: raw.reason,
        fingerprint: None,
        created_by: "config".to_owned(),
    })
}
