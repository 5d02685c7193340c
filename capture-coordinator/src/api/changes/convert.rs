//! Requests as the `spec` of a `PacketCaptureConfig`, and as changes of one.

use capture_client::{cluster::ClusterSpec, resource};
use serde_json::{Map, Value};
use tonic::Status;

use crate::resource::PacketCaptureConfigSpec;

/// The fields of an update, and those of the resource that hold them.
const FIELDS: &[(&str, &[&str])] = &[
    ("filter", &["filter"]),
    ("targets", &["targetIPs"]),
    ("ports", &["targetPorts"]),
    ("limits", &["duration", "maxPackets"]),
    ("limits.duration", &["duration"]),
    ("limits.packets", &["maxPackets"]),
    ("export", &["export"]),
    ("pods", &["podSelector"]),
];

/// A resource's spec.
pub(super) fn spec(request: &ClusterSpec) -> Result<PacketCaptureConfigSpec, Status> {
    typed(fields(request)?)
}

/// The fields to patch; null removes one.
pub(super) fn patch(request: &ClusterSpec, paths: &[String]) -> Result<Map<String, Value>, Status> {
    if paths.is_empty() {
        return Err(Status::invalid_argument(format!(
            "update_mask: it is empty; name what to change: {}",
            names()
        )));
    }
    let new = fields(request)?;
    let mut patch = Map::new();
    for path in paths {
        let found = FIELDS.iter().find(|(name, _)| name == path);
        let Some((_, keys)) = found else {
            return Err(Status::invalid_argument(format!(
                "update_mask: {path:?} cannot be changed here; use {}",
                names()
            )));
        };
        for key in *keys {
            let value = new.get(*key).cloned().unwrap_or_default();
            patch.insert((*key).to_owned(), value);
        }
    }
    Ok(patch)
}

/// A spec after a patch.
pub(super) fn patched(
    spec: &PacketCaptureConfigSpec,
    patch: &Map<String, Value>,
) -> Result<PacketCaptureConfigSpec, Status> {
    let spec = serde_json::to_value(spec).map_err(|error| Status::internal(error.to_string()))?;
    let mut spec = match spec {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            spec.remove(key);
        } else {
            spec.insert(key.clone(), value.clone());
        }
    }
    typed(spec)
}

fn names() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn fields(request: &ClusterSpec) -> Result<Map<String, Value>, Status> {
    resource::spec(request).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn typed(fields: Map<String, Value>) -> Result<PacketCaptureConfigSpec, Status> {
    let typed = serde_json::from_value(Value::Object(fields));
    typed.map_err(|error| Status::invalid_argument(format!("spec: {error}")))
}

#[cfg(test)]
mod tests {
    use capture_client::model::{Limits, Spec};
    use serde_json::json;
    use tonic::Code;

    use super::*;

    fn request(filter: &str) -> ClusterSpec {
        ClusterSpec {
            capture: Spec {
                filter: filter.to_owned(),
                targets: vec!["192.0.2.1".to_owned()],
                limits: Limits {
                    packets: Some(7),
                    ..Limits::default()
                },
                ..Spec::default()
            },
            ..ClusterSpec::default()
        }
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&path| path.to_owned()).collect()
    }

    #[test]
    fn only_what_the_mask_names_is_patched_and_what_is_unset_is_removed() {
        let found = patch(&request(""), &paths(&["filter", "limits.packets"])).unwrap();
        assert_eq!(
            Value::from(found.clone()),
            json!({ "filter": null, "maxPackets": 7 })
        );
        let before = spec(&request("tcp")).unwrap();
        let after = patched(&before, &found).unwrap();
        assert_eq!((&*before.filter, &*after.filter), ("tcp", ""));
        assert_eq!(before.target_ips, after.target_ips);
    }

    #[test]
    fn a_field_that_cannot_be_changed_is_named_with_those_that_can() {
        for wrong in [&["interfaces"][..], &["labels"], &[]] {
            let status = patch(&request(""), &paths(wrong)).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("targets, ports"), "{status}");
        }
        let mut request = request("");
        request.capture.limits.bytes = Some(1);
        let status = patch(&request, &paths(&["limits"])).unwrap_err();
        assert!(status.message().starts_with("limits.bytes"), "{status}");
    }
}
