use capture_proto::v1;
use capture_types::{CompressWhen, DigestAlgorithm, Directions, Format};

use super::{
    pods,
    time::{duration, span, time, timestamp},
};
use crate::model::{
    Codec, Compression, FileOutput, InnerFilter, Limits, Output, Retention, Rotation, Spec,
};

pub(crate) fn spec(spec: v1::CaptureSpec) -> Spec {
    Spec {
        direction: match spec.direction() {
            v1::Direction::Unspecified => None,
            v1::Direction::In => Some(Directions::In),
            v1::Direction::Out => Some(Directions::Out),
            v1::Direction::Inout => Some(Directions::InOut),
        },
        interfaces: spec.interfaces,
        snaplen: spec.snaplen,
        promiscuous: spec.promiscuous,
        include_own_traffic: spec.include_own_traffic,
        each_packet_once: spec.each_packet_once,
        ring_size: spec.ring_size,
        filter: spec.filter,
        inner_filter: spec.inner_filter.map(|inner| InnerFilter {
            expression: inner.expression,
            tunnels: inner.tunnels,
        }),
        targets: spec.targets,
        ports: spec.ports,
        excluded_targets: spec.excluded_targets,
        excluded_ports: spec.excluded_ports,
        pods: spec.pods.map(pods::selection),
        output: spec.output.and_then(|output| output.kind).map(output),
        limits: limits(spec.limits.unwrap_or_default()),
        export: spec.export,
    }
}

fn output(kind: v1::output::Kind) -> Output {
    match kind {
        v1::output::Kind::Files(files) => Output::Files(FileOutput {
            format: format(files.format()),
            compression: files.compression.map(compression),
            rotation: rotation(files.rotation.unwrap_or_default()),
            retention: retention(files.retention.unwrap_or_default()),
            digest: match files.digest() {
                v1::DigestAlgorithm::None => None,
                v1::DigestAlgorithm::Unspecified | v1::DigestAlgorithm::Xxh128 => {
                    Some(DigestAlgorithm::Xxh128)
                }
                v1::DigestAlgorithm::Sha256 => Some(DigestAlgorithm::Sha256),
            },
        }),
        v1::output::Kind::Text(text) => Output::Text(FileOutput {
            format: Some(Format::Text),
            compression: text.compression.map(compression),
            rotation: rotation(text.rotation.unwrap_or_default()),
            retention: retention(text.retention.unwrap_or_default()),
            digest: None,
        }),
        v1::output::Kind::Stdout(v1::StdoutOutput {}) => Output::Stdout {},
    }
}

pub(super) fn format(format: v1::FileFormat) -> Option<Format> {
    match format {
        v1::FileFormat::Unspecified => None,
        v1::FileFormat::Pcapng => Some(Format::Pcapng),
        v1::FileFormat::Pcap => Some(Format::Pcap),
        v1::FileFormat::Text => Some(Format::Text),
    }
}

pub(super) fn codec(codec: v1::Codec) -> Option<Codec> {
    match codec {
        v1::Codec::Unspecified => None,
        v1::Codec::None => Some(Codec::None),
        v1::Codec::Gzip => Some(Codec::Gzip),
        v1::Codec::Zstd => Some(Codec::Zstd),
    }
}

fn compression(compression: v1::Compression) -> Compression {
    Compression {
        codec: codec(compression.codec()).unwrap_or(Codec::Unknown),
        level: compression.level,
        when: match compression.when() {
            v1::CompressWhen::Unspecified => None,
            v1::CompressWhen::Streaming => Some(CompressWhen::Streaming),
            v1::CompressWhen::Rotated => Some(CompressWhen::Rotated),
        },
    }
}

fn rotation(rotation: v1::Rotation) -> Rotation {
    Rotation {
        max_file_bytes: rotation.max_file_bytes,
        interval: span(rotation.interval),
        max_packets: rotation.max_packets,
    }
}

fn retention(retention: v1::Retention) -> Retention {
    Retention {
        max_files: retention.max_files,
        max_bytes: retention.max_bytes,
        max_age: span(retention.max_age),
    }
}

fn limits(limits: v1::Limits) -> Limits {
    Limits {
        duration: span(limits.duration),
        packets: limits.packets,
        bytes: limits.bytes,
        deadline: time(limits.deadline),
    }
}

pub(crate) fn spec_to_proto(spec: Spec) -> v1::CaptureSpec {
    v1::CaptureSpec {
        interfaces: spec.interfaces,
        direction: spec
            .direction
            .map_or(v1::Direction::Unspecified, |direction| match direction {
                Directions::In => v1::Direction::In,
                Directions::Out => v1::Direction::Out,
                Directions::InOut => v1::Direction::Inout,
            })
            .into(),
        snaplen: spec.snaplen,
        promiscuous: spec.promiscuous,
        include_own_traffic: spec.include_own_traffic,
        each_packet_once: spec.each_packet_once,
        ring_size: spec.ring_size,
        filter: spec.filter,
        inner_filter: spec.inner_filter.map(|inner| v1::InnerFilter {
            expression: inner.expression,
            tunnels: inner.tunnels,
        }),
        targets: spec.targets,
        ports: spec.ports,
        excluded_targets: spec.excluded_targets,
        excluded_ports: spec.excluded_ports,
        pods: spec.pods.map(pods::selection_to_proto),
        output: spec.output.map(|output| v1::Output {
            kind: Some(output_to_proto(output)),
        }),
        limits: Some(v1::Limits {
            duration: spec.limits.duration.map(duration),
            packets: spec.limits.packets,
            bytes: spec.limits.bytes,
            deadline: spec.limits.deadline.map(timestamp),
        }),
        export: spec.export,
    }
}

fn output_to_proto(output: Output) -> v1::output::Kind {
    let rotation = |rotation: Rotation| v1::Rotation {
        max_file_bytes: rotation.max_file_bytes,
        interval: rotation.interval.map(duration),
        max_packets: rotation.max_packets,
    };
    let retention = |retention: Retention| v1::Retention {
        max_files: retention.max_files,
        max_bytes: retention.max_bytes,
        max_age: retention.max_age.map(duration),
    };
    match output {
        Output::Files(files) => v1::output::Kind::Files(v1::FileOutput {
            format: match files.format {
                Some(Format::Pcapng) => v1::FileFormat::Pcapng,
                Some(Format::Pcap) => v1::FileFormat::Pcap,
                Some(Format::Text) => v1::FileFormat::Text,
                None => v1::FileFormat::Unspecified,
            }
            .into(),
            compression: files.compression.map(compression_to_proto),
            rotation: Some(rotation(files.rotation)),
            retention: Some(retention(files.retention)),
            digest: match files.digest {
                None => v1::DigestAlgorithm::None,
                Some(DigestAlgorithm::Xxh128) => v1::DigestAlgorithm::Xxh128,
                Some(DigestAlgorithm::Sha256) => v1::DigestAlgorithm::Sha256,
            }
            .into(),
        }),
        Output::Text(text) => v1::output::Kind::Text(v1::TextOutput {
            compression: text.compression.map(compression_to_proto),
            rotation: Some(rotation(text.rotation)),
            retention: Some(retention(text.retention)),
        }),
        Output::Stdout {} => v1::output::Kind::Stdout(v1::StdoutOutput {}),
    }
}

fn compression_to_proto(compression: Compression) -> v1::Compression {
    v1::Compression {
        codec: match compression.codec {
            Codec::None => v1::Codec::None,
            Codec::Gzip => v1::Codec::Gzip,
            Codec::Zstd => v1::Codec::Zstd,
            Codec::Unknown => v1::Codec::Unspecified,
        }
        .into(),
        level: compression.level,
        when: match compression.when {
            None => v1::CompressWhen::Unspecified,
            Some(CompressWhen::Streaming) => v1::CompressWhen::Streaming,
            Some(CompressWhen::Rotated) => v1::CompressWhen::Rotated,
        }
        .into(),
    }
}
