//! Requests of the API in the client's model.

use std::time::Duration;

use capture_client::{
    Update,
    cluster::{self, ClusterSpec, PodName},
    model::{self, Codec, Compression, FileOutput, Output, Retention, Rotation, Span, Spec},
};
use capture_types::{DigestAlgorithm, Directions, Format};

use super::problem;
use crate::api::{
    CaptureChange, CaptureStart, ExpressionCheck, Limits, PodSelector, Problem, Recording,
};

/// What to record.
pub(super) fn spec(recording: &Recording, limits: &Limits) -> Result<Spec, Box<Problem>> {
    let direction = match recording.direction.as_deref() {
        None => None,
        Some("in") => Some(Directions::In),
        Some("out") => Some(Directions::Out),
        Some("both") => Some(Directions::InOut),
        Some(other) => {
            return Err(problem::invalid("direction", other, "give in, out or both"));
        }
    };
    let format = match recording.format.as_deref() {
        None => None,
        Some("pcapng") => Some(Format::Pcapng),
        Some("pcap") => Some(Format::Pcap),
        Some(other) => return Err(problem::invalid("format", other, "give pcapng or pcap")),
    };
    let codec = match recording.compression.as_deref() {
        None => None,
        Some("none") => Some(Codec::None),
        Some("gzip") => Some(Codec::Gzip),
        Some("zstd") => Some(Codec::Zstd),
        Some(other) => {
            return Err(problem::invalid(
                "compression",
                other,
                "give none, gzip or zstd",
            ));
        }
    };
    let files = FileOutput {
        format,
        compression: codec.map(|codec| Compression {
            codec,
            level: None,
            when: None,
        }),
        rotation: Rotation {
            max_file_bytes: recording.file_bytes,
            ..Rotation::default()
        },
        retention: Retention {
            max_files: recording.max_files,
            max_bytes: recording.max_bytes,
            ..Retention::default()
        },
        digest: Some(DigestAlgorithm::default()),
    };
    Ok(Spec {
        interfaces: recording.interfaces.clone(),
        direction,
        each_packet_once: recording.each_packet_once,
        snaplen: recording.snaplen,
        filter: recording.expression.clone(),
        targets: recording.targets.clone(),
        output: Some(Output::Files(files)),
        limits: self::limits(limits),
        ..Spec::default()
    })
}

/// A capture that is validated only, for its expression.
pub(super) fn to_check(check: &ExpressionCheck) -> Result<Spec, Box<Problem>> {
    let recording = Recording {
        interfaces: match &*check.interfaces {
            [] => vec!["any".to_owned()],
            interfaces => interfaces.to_vec(),
        },
        expression: check.expression.clone(),
        ..Recording::default()
    };
    spec(&recording, &Limits::default())
}

fn limits(limits: &Limits) -> model::Limits {
    model::Limits {
        duration: limits
            .seconds
            .map(|seconds| Span(Duration::from_secs(seconds))),
        packets: limits.packets,
        bytes: limits.bytes,
        deadline: None,
    }
}

/// What to record on the nodes of a cluster.
pub(super) fn cluster_spec(start: &CaptureStart) -> Result<ClusterSpec, Box<Problem>> {
    Ok(ClusterSpec {
        nodes: start.nodes.clone(),
        pods: start.pods.as_ref().map(pods).transpose()?,
        capture: spec(&start.recording, &start.limits)?,
        ..ClusterSpec::default()
    })
}

fn pods(selector: &PodSelector) -> Result<cluster::PodSelector, Box<Problem>> {
    let name = |text: &String| match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(PodName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err(problem::invalid("pods.names", text, "write NAMESPACE/NAME")),
    };
    Ok(cluster::PodSelector {
        names: selector.names.iter().map(name).collect::<Result<_, _>>()?,
        labels: selector.labels.clone(),
        namespaces: selector.namespaces.clone(),
    })
}

/// What to change.
pub(super) fn update(change: &CaptureChange) -> Result<Update, Box<Problem>> {
    let mut update = Update {
        generation: change.generation,
        ..Update::default()
    };
    if let Some(expression) = &change.expression {
        update.spec.filter.clone_from(expression);
        update.paths.push("filter".to_owned());
    }
    if let Some(new) = &change.limits {
        update.spec.limits = limits(new);
        update.paths.push("limits".to_owned());
    }
    if update.paths.is_empty() {
        return Err(problem::invalid("body", "", "give expression or limits"));
    }
    Ok(update)
}
