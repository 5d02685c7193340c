//! From StartCapture to the manager's request: every field is checked, and all errors are reported at once.

use std::time::Duration;

use capture_proto::v1;
use tonic::Status;

use super::{
    Defaults,
    output::output,
    pods::pods,
    selection::{filter, targets},
    time::{duration, nanoseconds},
};
use crate::{
    cut::cut,
    grpc::{bounds, status::Violations},
    manager::{CaptureRequest, MADE_UP_NAME, StopConditions},
};
use capture_types::{
    CaptureName, CaptureSpec, Directions, InterfacePattern, Limits, MAX_SINKS, Output, SinkName,
    distinct_sinks, time, values,
};

/// The capture that a request asks for.
pub(in super::super) fn capture_request(
    request: v1::StartCaptureRequest,
    defaults: &Defaults,
    created_by: &str,
) -> Result<CaptureRequest, Status> {
    let mut wrong = Violations::default();
    let request = convert(request, defaults, created_by, &mut wrong);
    wrong.check()?;
    let mut request =
        request.ok_or_else(|| Status::internal("an invalid request was not refused"))?;
    if request.request_id.is_some() {
        request.fingerprint = request.digest();
    }
    Ok(request)
}

fn convert(
    request: v1::StartCaptureRequest,
    defaults: &Defaults,
    created_by: &str,
    wrong: &mut Violations,
) -> Option<CaptureRequest> {
    let mut labels: std::collections::BTreeMap<_, _> = request.labels.into_iter().collect();
    check_labels(labels.iter(), wrong);
    let name = if request.name.is_empty() {
        labels.insert(MADE_UP_NAME.to_owned(), String::new());
        made_up_name()
    } else {
        request.name
    };
    let name = wrong.take("name", CaptureName::new(name));
    wrong.at_most("request_id", &request.request_id, bounds::REQUEST_ID);
    wrong.at_most("reason", &request.reason, bounds::REASON);
    let spec = request.spec.unwrap_or_default();
    let pods = spec.pods.as_ref().map(|given| pods(given, wrong));
    let interfaces = interfaces(&spec.interfaces, pods.is_some(), wrong);
    let direction = direction(spec.direction, wrong);
    let snaplen = snaplen(spec.snaplen, wrong);
    let ring_size = ring_size(spec.ring_size, defaults, wrong);
    let limits = limits(spec.limits.as_ref(), |_| true, wrong);
    let directory = name
        .as_ref()
        .map(|name| defaults.data_dir.join(name.as_str()));
    let output = output(
        spec.output.as_ref(),
        defaults,
        directory.unwrap_or_default(),
        wrong,
    );
    let targets = targets(&spec, wrong);
    let filter = filter(&spec, wrong);
    let (limits, stop) = limits;
    let (output, keep_for) = output;
    let export = export(&spec.export, wrong);
    if !export.is_empty() && matches!(output, Output::Stdout) {
        wrong.add(
            "spec.export",
            "stdout makes no files: leave it out, or choose another output",
        );
    }
    Some(CaptureRequest {
        spec: CaptureSpec {
            name: name?,
            interfaces,
            pods,
            filter,
            targets,
            direction,
            promiscuous: spec.promiscuous.unwrap_or(true),
            include_own_traffic: spec.include_own_traffic,
            each_packet_once: spec.each_packet_once.unwrap_or(false),
            snaplen,
            ring_size,
            output,
            limits,
            export,
        },
        stop,
        keep_for,
        labels,
        reason: request.reason,
        request_id: (!request.request_id.is_empty()).then_some(request.request_id),
        fingerprint: None,
        created_by: created_by.to_owned(),
    })
}

/// `capture-` and the time; a second name within the same second gets a longer form.
fn made_up_name() -> String {
    let now = time::now();
    format!("capture-{}-{:09}", time::stamp(now), now % 1_000_000_000)
}

pub(in super::super) fn check_labels<'a>(
    labels: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
    wrong: &mut Violations,
) {
    if !wrong.at_most_elements("labels", labels.len(), bounds::LABELS) {
        return;
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > bounds::LABEL_KEY {
            let (key, most) = (cut(key, bounds::LABEL_KEY), bounds::LABEL_KEY);
            wrong.add("labels", format!("key {key:?}: use 1 to {most} bytes"));
        } else if value.len() > bounds::LABEL_VALUE {
            let most = bounds::LABEL_VALUE;
            wrong.add(
                "labels",
                format!("the value of {key:?} is longer than {most} bytes"),
            );
        }
    }
}

/// Without patterns every interface is captured; with pods, only the pods' interfaces.
fn interfaces(given: &[String], of_pods: bool, wrong: &mut Violations) -> Vec<InterfacePattern> {
    if !wrong.at_most_elements("spec.interfaces", given.len(), bounds::INTERFACES) {
        return Vec::new();
    }
    let mut patterns = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let field = format!("spec.interfaces[{at}]");
        if !wrong.at_most(&field, text, bounds::INTERFACE) {
            continue;
        }
        if let Some(pattern) = wrong.take(field.clone(), text.parse::<InterfacePattern>()) {
            if let InterfacePattern::Glob(glob) = &pattern
                && let Err(error) = globset::Glob::new(glob)
            {
                wrong.add(field, error);
            }
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() && !of_pods {
        patterns.push(InterfacePattern::Any);
    }
    patterns
}

/// Sinks of an exporter, each once.
pub(super) fn export(given: &[String], wrong: &mut Violations) -> Vec<SinkName> {
    if !wrong.at_most_elements("spec.export", given.len(), MAX_SINKS) {
        return Vec::new();
    }
    let named = given.iter().enumerate().filter_map(|(at, name)| {
        let parsed = name.parse::<SinkName>();
        let shown = cut(name, bounds::SINK);
        wrong.take(
            format!("spec.export[{at}]"),
            parsed.map_err(|error| format!("{shown:?}: {error}")),
        )
    });
    let named = named.collect();
    wrong
        .take("spec.export", distinct_sinks(named))
        .unwrap_or_default()
}

fn direction(given: i32, wrong: &mut Violations) -> Directions {
    match v1::Direction::try_from(given) {
        Ok(v1::Direction::Unspecified | v1::Direction::Inout) => Directions::InOut,
        Ok(v1::Direction::In) => Directions::In,
        Ok(v1::Direction::Out) => Directions::Out,
        Err(_) => {
            wrong.add(
                "spec.direction",
                format!("{given} is not a direction that this version supports"),
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
        .and_then(|bytes| wrong.take("spec.ring_size", values::ring_bytes(u64::from(bytes))))
        .unwrap_or(defaults.ring_size)
}

/// When a capture stops by itself. Only requested fields are checked.
pub(super) fn limits(
    given: Option<&v1::Limits>,
    asked: impl Fn(&str) -> bool,
    wrong: &mut Violations,
) -> (Limits, StopConditions) {
    let Some(given) = given else {
        return Default::default();
    };
    let mut at_least_one = |field: &str, value: Option<u64>| {
        let value = value.filter(|_| asked(field))?;
        if value == 0 {
            wrong.add(
                format!("spec.limits.{field}"),
                "0: give at least 1, or leave it out",
            );
        }
        Some(value)
    };
    let packets = at_least_one("packets", given.packets);
    let bytes = at_least_one("bytes", given.bytes);
    let length = given.duration.as_ref().filter(|_| asked("duration"));
    let length = length.and_then(|length| {
        wrong.take(
            "spec.limits.duration",
            duration(length, Duration::from_millis(1)),
        )
    });
    let deadline = given.deadline.as_ref().filter(|_| asked("deadline"));
    let deadline =
        deadline.and_then(|deadline| wrong.take("spec.limits.deadline", nanoseconds(deadline)));
    if deadline.is_some_and(|deadline| deadline <= time::now()) {
        wrong.add(
            "spec.limits.deadline",
            "it has passed: give a time in the future",
        );
    }
    (
        Limits {
            duration: length,
            packets,
        },
        StopConditions { bytes, deadline },
    )
}
