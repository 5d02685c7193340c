//! Resources that no node captures yet: they are listed as well, with the reason.

use std::time::SystemTime;

use capture_proto::v1;
use kube::ResourceExt as _;

use super::access::Captures;
use crate::{
    decide::{LABEL_RESOURCE, LABEL_UID, capture_name},
    request::{FileDefaults, Plan},
    resource::{PacketCaptureConfig, Phase},
};

/// Adds the resources that a caller may see and that have not begun on a node, with one name or all.
pub(super) fn add<'a>(
    listed: &mut Vec<v1::ClusterCapture>,
    resources: impl Iterator<Item = &'a PacketCaptureConfig>,
    visible: &Captures,
    name: &str,
) {
    let is_listed = |listed: &[v1::ClusterCapture], name: &str| {
        let mut captures = listed.iter().filter_map(|one| one.capture.as_ref());
        captures.any(|capture| capture.name == name)
    };
    for resource in resources {
        let own = capture_name(&resource.name_any());
        let status = resource.status.as_ref();
        let has_begun = status.is_some_and(|status| status.started_at.is_some());
        let is_deleted = resource.metadata.deletion_timestamp.is_some();
        let is_wanted = name.is_empty() || own == name;
        if !has_begun && !is_deleted && is_wanted && visible.has_of(resource) {
            // A node may have begun since the status was written.
            if !is_listed(listed, &own) {
                listed.push(capture(resource, own));
            }
        }
    }
    listed.sort_by(|one, other| key(one).cmp(&key(other)));
}

fn key(one: &v1::ClusterCapture) -> (&str, &str) {
    let name = one.capture.as_ref().map_or("", |capture| &capture.name);
    (name, &one.node)
}

fn capture(resource: &PacketCaptureConfig, name: String) -> v1::ClusterCapture {
    let status = resource.status.as_ref();
    let has_failed = status.is_some_and(|status| status.phase == Some(Phase::Failed));
    let state = if has_failed {
        v1::CaptureState::Failed
    } else {
        v1::CaptureState::Pending
    };
    let message = status.map_or("", |status| &status.message);
    let message = if message.is_empty() {
        "no coordinator has looked at it yet"
    } else {
        message
    };
    // What is wrong with an invalid one is in the message.
    let plan = Plan::new(&resource.spec, FileDefaults::default()).ok();
    let spec = plan.map(|plan| v1::CaptureSpec {
        interfaces: plan.interfaces,
        filter: plan.filter,
        targets: plan.targets,
        ports: plan.ports,
        ..v1::CaptureSpec::default()
    });
    let created = resource.metadata.creation_timestamp.as_ref();
    let labels = [
        (LABEL_RESOURCE, resource.name_any()),
        (LABEL_UID, resource.uid().unwrap_or_default()),
    ];
    let capture = v1::Capture {
        name,
        spec,
        state: state.into(),
        message: message.to_owned(),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        create_time: created.map(|time| SystemTime::from(time.0).into()),
        ..v1::Capture::default()
    };
    v1::ClusterCapture {
        node: String::new(),
        capture: Some(capture),
        problem: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;
    use crate::resource::PacketCaptureConfigStatus;

    fn resource(name: &str, phase: Phase, message: &str) -> PacketCaptureConfig {
        let spec = serde_json::json!({ "targetIPs": ["10.0.0.1"], "filter": "tcp" });
        let mut resource = PacketCaptureConfig::new(name, serde_json::from_value(spec).unwrap());
        resource.metadata.uid = Some(format!("uid-{name}"));
        resource.status = Some(PacketCaptureConfigStatus {
            phase: Some(phase),
            message: message.to_owned(),
            ..PacketCaptureConfigStatus::default()
        });
        resource
    }

    fn listed(node: &str, name: &str) -> v1::ClusterCapture {
        v1::ClusterCapture {
            node: node.to_owned(),
            capture: Some(v1::Capture {
                name: name.to_owned(),
                ..v1::Capture::default()
            }),
            problem: String::new(),
        }
    }

    fn names(all: &[v1::ClusterCapture]) -> Vec<(&str, &str)> {
        all.iter().map(key).collect()
    }

    #[test]
    fn what_has_not_begun_is_listed_with_the_reason() {
        let mut begun = resource("begun", Phase::Completed, "complete");
        let begin = Some(Time(Timestamp::from_second(1).unwrap()));
        begun.status.as_mut().unwrap().started_at = begin;
        let resources = [
            resource("waits", Phase::Starting, "no node runs a daemon"),
            resource("wrong", Phase::Failed, "spec.filter: it is wrong"),
            resource("runs", Phase::Starting, "an old status"),
            begun,
        ];
        let mut all = vec![listed("n2", "runs"), listed("n1", "runs")];
        add(&mut all, resources.iter(), &Captures::OfResources, "");
        let expected = [("runs", "n1"), ("runs", "n2"), ("waits", ""), ("wrong", "")];
        assert_eq!(names(&all), expected);
        let waits = all[2].capture.as_ref().unwrap();
        assert_eq!(waits.state(), v1::CaptureState::Pending);
        assert_eq!(waits.message, "no node runs a daemon");
        assert_eq!(waits.spec.as_ref().unwrap().filter, "tcp");
        let wrong = all[3].capture.as_ref().unwrap();
        assert_eq!(wrong.state(), v1::CaptureState::Failed);
        assert_eq!(wrong.message, "spec.filter: it is wrong");

        let mut one = Vec::new();
        let other = Captures::Of("uid-waits".to_owned());
        add(&mut one, resources.iter(), &other, "wrong");
        assert!(one.is_empty(), "of another resource");
        add(&mut one, resources.iter(), &other, "waits");
        assert_eq!(names(&one), [("waits", "")]);
    }

    #[test]
    fn a_resource_that_nobody_has_looked_at_says_so() {
        let mut new = resource("new", Phase::Starting, "");
        new.status = None;
        let mut all = Vec::new();
        add(&mut all, [&new].into_iter(), &Captures::OfResources, "new");
        let message = &all[0].capture.as_ref().unwrap().message;
        assert_eq!(message, "no coordinator has looked at it yet");
        new.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(1).unwrap()));
        all.clear();
        add(&mut all, [&new].into_iter(), &Captures::OfResources, "");
        assert!(all.is_empty(), "it is being deleted");
    }
}
