//! From a field mask and its values to the changes.

use capture_proto::v1;
use tonic::Status;

use super::{
    pods::pods,
    request::{check_labels, export, limits},
    selection::{expression, hosts, inner, not_hosts, not_ports, ports},
};
use crate::{
    cut::cut,
    grpc::{bounds, status::Violations},
    manager::Update,
};

/// The fields of `limits`; `limits` in a mask includes all of them.
const LIMITS: [&str; 4] = ["duration", "packets", "bytes", "deadline"];

/// The changes in a request. Fields that the mask does not name are neither changed nor checked.
pub(in super::super) fn update(request: &v1::UpdateCaptureRequest) -> Result<Update, Status> {
    let mut wrong = Violations::default();
    wrong.at_most("reason", &request.reason, bounds::REASON);
    let empty = v1::CaptureSpec::default();
    let spec = request.spec.as_ref().unwrap_or(&empty);
    let paths = request
        .update_mask
        .as_ref()
        .map(|mask| mask.paths.as_slice())
        .unwrap_or_default();
    if paths.is_empty() {
        wrong.add("update_mask", "it is empty: name the fields to change");
    }
    if !wrong.at_most_elements("update_mask.paths", paths.len(), bounds::MASK_PATHS) {
        wrong.check()?;
        return Ok(Update::default());
    }
    for (at, path) in paths.iter().enumerate() {
        let limit = path.strip_prefix("limits.");
        let known = [
            "filter",
            "inner_filter",
            "targets",
            "ports",
            "excluded_targets",
            "excluded_ports",
            "pods",
            "export",
            "labels",
            "limits",
        ]
        .contains(&path.as_str())
            || limit.is_some_and(|limit| LIMITS.contains(&limit));
        if !known {
            let path = cut(path, bounds::VIOLATION / 2);
            wrong.add(
                format!("update_mask.paths[{at}]"),
                format!("{path:?} cannot be changed"),
            );
        }
    }
    let named = |name: &str| paths.iter().any(|path| path == name);
    let limit = |name: &str| named("limits") || named(&format!("limits.{name}"));
    let (new, stop) = limits(spec.limits.as_ref(), limit, &mut wrong);
    let mut update = Update {
        duration: limit("duration").then_some(new.duration),
        packets: limit("packets").then_some(new.packets),
        bytes: limit("bytes").then_some(stop.bytes),
        deadline: limit("deadline").then_some(stop.deadline),
        ..Update::default()
    };
    if named("labels") {
        check_labels(request.labels.iter(), &mut wrong);
        update.labels = Some(request.labels.clone().into_iter().collect());
    }
    if named("targets") {
        update.hosts = Some(hosts(spec, &mut wrong));
    }
    if named("ports") {
        update.ports = Some(ports(spec, &mut wrong));
    }
    if named("excluded_targets") {
        update.not_hosts = Some(not_hosts(spec, &mut wrong));
    }
    if named("excluded_ports") {
        update.not_ports = Some(not_ports(spec, &mut wrong));
    }
    if named("export") {
        update.export = Some(export(&spec.export, &mut wrong));
    }
    if named("pods") {
        match &spec.pods {
            Some(given) => update.pods = Some(pods(given, &mut wrong)),
            None => wrong.add(
                "spec.pods",
                "it is not set: give pods, or an empty selection to wait for some",
            ),
        }
    }
    // The most expensive check comes last, and is skipped if the request is rejected anyway.
    if wrong.is_empty() && named("filter") {
        update.expression = Some(expression(&spec.filter, &mut wrong));
    }
    if wrong.is_empty() && named("inner_filter") {
        update.inner = Some(inner(spec.inner_filter.as_ref(), &mut wrong));
    }
    wrong.check()?;
    Ok(update)
}
