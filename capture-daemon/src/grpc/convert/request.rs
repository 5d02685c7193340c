//! From a request to an order: every field is looked at, and all that is wrong is told at once.

use std::time::Duration;

use capture_proto::v1;

use super::time::{duration, nanoseconds};
use crate::{
    grpc::status::Violations,
    manager::{MADE_UP_NAME, Order, StopConditions},
};
use capture_filter::Filter;
use capture_types::{
    CaptureName, CaptureSpec, CompressWhen, Compression, Directions, FilterSpec, Format, InnerSpec,
    InterfacePattern, Limits, LinkType, MinFree, Output, OutputSpec, Retention, Rotation,
    TargetSet, Tunnel, time, values,
};

/// What a capture has where its request says nothing.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Bytes of a ring buffer.
    pub ring_size: u32,
    /// The files' compression.
    pub compression: Compression,
    /// Bytes after which a file is finished.
    pub rotation_size: Option<u64>,
    /// Files that are kept.
    pub max_files: Option<u32>,
    /// Free space that is left.
    pub min_free: MinFree,
    /// Where captures have their directories.
    pub data_dir: std::path::PathBuf,
}

const MOST_INTERFACES: usize = 256;
const MOST_LABELS: usize = 64;
const LEAST_FILE: u64 = 4096;
const SECOND: Duration = Duration::from_secs(1);

/// What a request asks for.
pub(in super::super) fn order(
    request: v1::StartCaptureRequest,
    defaults: &Defaults,
    created_by: &str,
    wrong: &mut Violations,
) -> Option<Order> {
    let mut labels: std::collections::BTreeMap<_, _> = request.labels.into_iter().collect();
    check_labels(&labels, wrong);
    let name = if request.name.is_empty() {
        labels.insert(MADE_UP_NAME.to_owned(), String::new());
        made_up_name()
    } else {
        request.name
    };
    let name = wrong.take("name", CaptureName::new(name));
    wrong.at_most("request_id", &request.request_id, 128);
    wrong.at_most("reason", &request.reason, 1024);
    let spec = request.spec.unwrap_or_default();
    let interfaces = interfaces(&spec.interfaces, wrong);
    let direction = direction(spec.direction, wrong);
    let snaplen = snaplen(spec.snaplen, wrong);
    let ring_size = ring_size(spec.ring_size, defaults, wrong);
    let limits = limits(spec.limits.as_ref(), wrong);
    let directory = name
        .as_ref()
        .map(|name| defaults.data_dir.join(name.as_str()));
    let output = output(
        spec.output.as_ref(),
        defaults,
        directory.unwrap_or_default(),
        wrong,
    );
    let filter = filter(&spec, wrong);
    let targets = targets(&spec, wrong);
    let (limits, stop) = limits;
    let (output, keep_for) = output;
    Some(Order {
        spec: CaptureSpec {
            name: name?,
            interfaces,
            filter,
            targets,
            direction,
            snaplen,
            ring_size,
            output,
            limits,
        },
        stop,
        keep_for,
        labels,
        reason: request.reason,
        request_id: (!request.request_id.is_empty()).then_some(request.request_id),
        created_by: created_by.to_owned(),
    })
}

/// `capture-` and the time; a second one within the same second gets a longer name.
fn made_up_name() -> String {
    let now = time::now();
    format!("capture-{}-{:09}", time::stamp(now), now % 1_000_000_000)
}

pub(super) fn check_labels<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    wrong: &mut Violations,
) {
    let mut count = 0;
    for (key, value) in labels {
        count += 1;
        if key.is_empty() || key.len() > 63 {
            wrong.add("labels", format!("key {key:?}: use 1 to 63 bytes"));
        }
        if value.len() > 255 {
            wrong.add(
                "labels",
                format!("the value of {key:?} is longer than 255 bytes"),
            );
        }
    }
    if count > MOST_LABELS {
        wrong.add(
            "labels",
            format!("{count} labels: at most {MOST_LABELS} are allowed"),
        );
    }
}

fn interfaces(given: &[String], wrong: &mut Violations) -> Vec<InterfacePattern> {
    if given.len() > MOST_INTERFACES {
        wrong.add(
            "spec.interfaces",
            format!("at most {MOST_INTERFACES} are allowed"),
        );
        return Vec::new();
    }
    let mut patterns = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let field = format!("spec.interfaces[{at}]");
        if let Some(pattern) = wrong.take(field.clone(), text.parse::<InterfacePattern>()) {
            if let InterfacePattern::Glob(glob) = &pattern
                && let Err(error) = globset::Glob::new(glob)
            {
                wrong.add(field, error);
            }
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() {
        patterns.push(InterfacePattern::Any);
    }
    patterns
}

fn direction(given: i32, wrong: &mut Violations) -> Directions {
    match v1::Direction::try_from(given) {
        Ok(v1::Direction::Unspecified | v1::Direction::Inout) => Directions::InOut,
        Ok(v1::Direction::In) => Directions::In,
        Ok(v1::Direction::Out) => Directions::Out,
        Err(_) => {
            wrong.add(
                "spec.direction",
                format!("{given} is no direction that this version knows"),
            );
            Directions::InOut
        }
    }
}

fn snaplen(given: Option<u32>, wrong: &mut Violations) -> u32 {
    match given {
        None => values::WHOLE_PACKETS,
        Some(bytes) if (1..=values::WHOLE_PACKETS).contains(&bytes) => bytes,
        Some(bytes) => {
            let most = values::WHOLE_PACKETS;
            wrong.add(
                "spec.snaplen",
                format!("{bytes}: give 1 to {most}, or leave it out"),
            );
            most
        }
    }
}

fn ring_size(given: Option<u32>, defaults: &Defaults, wrong: &mut Violations) -> u32 {
    given
        .and_then(|bytes| wrong.take("spec.ring_size", values::ring_size(&bytes.to_string())))
        .unwrap_or(defaults.ring_size)
}

/// When a capture is to stop by itself.
pub(super) fn limits(
    given: Option<&v1::Limits>,
    wrong: &mut Violations,
) -> (Limits, StopConditions) {
    let Some(given) = given else {
        return Default::default();
    };
    let mut at_least_one = |field: &str, value: Option<u64>| {
        if value == Some(0) {
            wrong.add(
                format!("spec.limits.{field}"),
                "0: give at least 1, or leave it out",
            );
        }
        value
    };
    let packets = at_least_one("packets", given.packets);
    let bytes = at_least_one("bytes", given.bytes);
    let length = given.duration.as_ref().and_then(|length| {
        wrong.take(
            "spec.limits.duration",
            duration(length, Duration::from_millis(1)),
        )
    });
    let deadline = given
        .deadline
        .as_ref()
        .and_then(|deadline| wrong.take("spec.limits.deadline", nanoseconds(deadline)));
    if deadline.is_some_and(|deadline| deadline <= time::now()) {
        wrong.add("spec.limits.deadline", "it is over: give a time to come");
    }
    (
        Limits {
            duration: length,
            packets,
        },
        StopConditions { bytes, deadline },
    )
}

fn output(
    given: Option<&v1::Output>,
    defaults: &Defaults,
    directory: std::path::PathBuf,
    wrong: &mut Violations,
) -> (Output, Option<Duration>) {
    let (field, format, files) = match given.and_then(|output| output.kind.as_ref()) {
        None => (
            "spec.output.files",
            Format::Pcapng,
            v1::FileOutput::default(),
        ),
        Some(v1::output::Kind::Files(files)) => {
            let field = "spec.output.files";
            (field, format(field, files.format, wrong), *files)
        }
        Some(v1::output::Kind::Text(text)) => {
            let files = v1::FileOutput {
                format: v1::FileFormat::Text.into(),
                compression: text.compression,
                rotation: text.rotation,
                retention: text.retention,
                without_digest: false,
            };
            ("spec.output.text", Format::Text, files)
        }
        Some(v1::output::Kind::Stdout(v1::StdoutOutput {})) => return (Output::Stdout, None),
    };
    let (compression, compress_when) = compression(
        &format!("{field}.compression"),
        files.compression.as_ref(),
        defaults,
        wrong,
    );
    let rotation = rotation(
        &format!("{field}.rotation"),
        files.rotation.as_ref(),
        defaults,
        wrong,
    );
    let (retention, keep_for) = retention(
        &format!("{field}.retention"),
        files.retention.as_ref(),
        defaults,
        wrong,
    );
    let output = OutputSpec {
        directory,
        format,
        compression,
        compress_when,
        rotation,
        retention,
        digest: !files.without_digest,
    };
    (Output::Files(output), keep_for)
}

fn format(field: &str, given: i32, wrong: &mut Violations) -> Format {
    match v1::FileFormat::try_from(given) {
        Ok(v1::FileFormat::Unspecified | v1::FileFormat::Pcapng) => Format::Pcapng,
        Ok(v1::FileFormat::Pcap) => Format::Pcap,
        Ok(v1::FileFormat::Text) | Err(_) => {
            wrong.add(
                format!("{field}.format"),
                "give pcapng or pcap; spec.output.text makes files of lines",
            );
            Format::Pcapng
        }
    }
}

fn compression(
    field: &str,
    given: Option<&v1::Compression>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> (Compression, CompressWhen) {
    let given = given.copied().unwrap_or_default();
    let level = given
        .level
        .map_or_else(String::new, |level| format!(":{level}"));
    let parse = |codec: &str| {
        let value = format!("{codec}{level}").parse();
        value.map_err(|error: values::ValueError| error.to_string())
    };
    let compression = match v1::Codec::try_from(given.codec) {
        Ok(v1::Codec::Unspecified) => Ok(defaults.compression),
        Ok(v1::Codec::None) => Ok(Compression::None),
        Ok(v1::Codec::Gzip) => parse("gzip"),
        Ok(v1::Codec::Zstd) => parse("zstd"),
        Err(_) => Err(format!(
            "codec {} is not known to this version",
            given.codec
        )),
    };
    let when = match v1::CompressWhen::try_from(given.when) {
        Ok(v1::CompressWhen::Unspecified | v1::CompressWhen::Streaming) => CompressWhen::Streaming,
        Ok(v1::CompressWhen::Rotated) => CompressWhen::Rotated,
        Err(_) => {
            wrong.add(format!("{field}.when"), "give streaming or rotated");
            CompressWhen::Streaming
        }
    };
    (
        wrong.take(field, compression).unwrap_or(Compression::None),
        when,
    )
}

fn rotation(
    field: &str,
    given: Option<&v1::Rotation>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> Rotation {
    let Some(given) = given else {
        return Rotation {
            size: defaults.rotation_size,
            ..Rotation::default()
        };
    };
    if given.max_file_bytes.is_some_and(|bytes| bytes < LEAST_FILE) {
        wrong.add(
            format!("{field}.max_file_bytes"),
            format!("give at least {LEAST_FILE}"),
        );
    }
    if given.max_packets == Some(0) {
        wrong.add(
            format!("{field}.max_packets"),
            "0: give at least 1, or leave it out",
        );
    }
    let interval = given
        .interval
        .as_ref()
        .and_then(|given| wrong.take(format!("{field}.interval"), duration(given, SECOND)));
    Rotation {
        size: given.max_file_bytes,
        interval,
        packets: given.max_packets,
    }
}

fn retention(
    field: &str,
    given: Option<&v1::Retention>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> (Retention, Option<Duration>) {
    let min_free = Some(defaults.min_free);
    let Some(given) = given else {
        return (
            Retention {
                max_files: defaults.max_files,
                max_bytes: None,
                min_free,
            },
            None,
        );
    };
    if given.max_files == Some(0) {
        wrong.add(
            format!("{field}.max_files"),
            "0: give at least 1, or leave it out",
        );
    }
    if given.max_bytes.is_some_and(|bytes| bytes < LEAST_FILE) {
        wrong.add(
            format!("{field}.max_bytes"),
            format!("give at least {LEAST_FILE}"),
        );
    }
    let keep_for = given
        .max_age
        .as_ref()
        .and_then(|age| wrong.take(format!("{field}.max_age"), duration(age, SECOND)));
    let retention = Retention {
        max_files: given.max_files,
        max_bytes: given.max_bytes,
        min_free,
    };
    (retention, keep_for)
}

/// Which packets; checked by compiling it as it will be.
pub(super) fn filter(spec: &v1::CaptureSpec, wrong: &mut Violations) -> FilterSpec {
    let outer = FilterSpec {
        expression: (!spec.filter.trim().is_empty()).then(|| spec.filter.clone()),
        ..FilterSpec::default()
    };
    let compile = |filter: &FilterSpec| Filter::compile(filter, LinkType::Ethernet).map(drop);
    let outer_is_sound = wrong.take("spec.filter", compile(&outer)).is_some();
    let Some(inner) = &spec.inner_filter else {
        return outer;
    };
    let mut tunnels = Vec::new();
    for (at, text) in inner.tunnels.iter().enumerate() {
        tunnels.extend(wrong.take(
            format!("spec.inner_filter.tunnels[{at}]"),
            text.parse::<Tunnel>(),
        ));
    }
    if inner.expression.trim().is_empty() {
        wrong.add(
            "spec.inner_filter.expression",
            "it is empty: say which inner packets",
        );
        return outer;
    }
    let expression = inner.expression.clone();
    let both = FilterSpec {
        inner: Some(InnerSpec {
            expression,
            tunnels,
        }),
        ..outer
    };
    if outer_is_sound {
        wrong.take("spec.inner_filter.expression", compile(&both));
    }
    both
}

const MOST_TARGETS: usize = 65_536;

/// Addresses, networks and ports beside the filter.
pub(super) fn targets(spec: &v1::CaptureSpec, wrong: &mut Violations) -> TargetSet {
    for (field, count) in [
        ("spec.targets", spec.targets.len()),
        ("spec.ports", spec.ports.len()),
    ] {
        if count > MOST_TARGETS {
            wrong.add(
                field,
                format!("{count} values: at most {MOST_TARGETS} are allowed"),
            );
            return TargetSet::default();
        }
    }
    let mut hosts = Vec::new();
    for (at, text) in spec.targets.iter().enumerate() {
        hosts.extend(wrong.take(format!("spec.targets[{at}]"), values::network(text)));
    }
    let mut ports = Vec::new();
    for (at, port) in spec.ports.iter().enumerate() {
        let port = u16::try_from(*port).ok().filter(|port| *port > 0);
        let port = port.ok_or("give a port from 1 to 65535");
        ports.extend(wrong.take(format!("spec.ports[{at}]"), port));
    }
    TargetSet {
        hosts: (!hosts.is_empty()).then_some(hosts),
        ports: (!ports.is_empty()).then_some(ports),
    }
}
