//! From a field mask and its values to what is to change.

use capture_proto::v1;
use tonic::Status;

use super::{
    request::{check_labels, limits},
    selection::{filter, targets},
};
use crate::{grpc::status::Violations, manager::Update};

/// What a request wants to change.
pub(in super::super) fn update(request: &v1::UpdateCaptureRequest) -> Result<Update, Status> {
    let mut wrong = Violations::default();
    wrong.at_most("reason", &request.reason, 1024);
    let spec = request.spec.clone().unwrap_or_default();
    let (new, stop) = limits(spec.limits.as_ref(), &mut wrong);
    let paths = request
        .update_mask
        .as_ref()
        .map(|mask| mask.paths.as_slice())
        .unwrap_or_default();
    if paths.is_empty() {
        wrong.add("update_mask", "it is empty: name what is to change");
    }
    let mut update = Update::default();
    let mut change_targets = false;
    for (at, path) in paths.iter().enumerate() {
        let all = path == "limits";
        let mut known = all;
        let mut takes = |name: &str| {
            let named = path == name;
            known |= named;
            all || named
        };
        if takes("limits.duration") {
            update.duration = Some(new.duration);
        }
        if takes("limits.packets") {
            update.packets = Some(new.packets);
        }
        if takes("limits.bytes") {
            update.bytes = Some(stop.bytes);
        }
        if takes("limits.deadline") {
            update.deadline = Some(stop.deadline);
        }
        if path == "filter" || path == "inner_filter" {
            known = true;
            update.filter = Some(filter(&spec, &mut wrong));
        }
        if path == "targets" || path == "ports" {
            known = true;
            change_targets = true;
        }
        if path == "labels" {
            known = true;
            check_labels(&request.labels, &mut wrong);
            update.labels = Some(request.labels.clone().into_iter().collect());
        }
        if !known {
            wrong.add(
                format!("update_mask.paths[{at}]"),
                format!("{path:?} cannot be changed"),
            );
        }
    }
    if change_targets {
        let new = targets(&spec, &mut wrong);
        let named = |path: &str| paths.iter().any(|named| named == path);
        update.hosts = named("targets").then_some(new.hosts);
        update.ports = named("ports").then_some(new.ports);
    }
    wrong.check()?;
    Ok(update)
}
