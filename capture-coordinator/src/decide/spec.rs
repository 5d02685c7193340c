//! The specification of a node's capture, and the labels by which it is recognised.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use capture_client::model::{self, Capture, Limits, PodSelection, Span, Spec};

use super::{
    Run, View,
    namespaces::{LABEL_NAMESPACES, Namespaces},
};
use crate::{
    cluster::{Pod, PodKey},
    request::{MOST_PODS, Plan, digest},
};

/// The resource's name.
pub const LABEL_RESOURCE: &str = "packetcaptureconfig";
/// The resource's uid, which distinguishes it from later ones of the same name.
pub const LABEL_UID: &str = "packetcaptureconfig.uid";
/// The run.
pub(super) const LABEL_RUN: &str = "packetcaptureconfig.run";
/// Digest of the fields that cannot change while the capture runs.
pub(super) const LABEL_FIXED: &str = "packetcaptureconfig.fixed";
/// Digest of the fields that can.
pub(super) const LABEL_PLAN: &str = "packetcaptureconfig.plan";
/// The pods.
pub(super) const LABEL_PODS: &str = "packetcaptureconfig.pods";
/// Digest of the sinks that get the files; missing without any.
pub(super) const LABEL_EXPORT: &str = "packetcaptureconfig.export";
/// Seconds of the run that had passed when the capture was started.
pub(super) const LABEL_OFFSET: &str = "packetcaptureconfig.offset";

/// Maximum length of a capture's name.
const LONGEST_NAME: usize = 63;

/// The name of a resource's captures: the resource's own, as files are named after it. A longer one is
/// truncated, with a digest that distinguishes it from others with the same beginning.
#[must_use]
pub fn capture_name(resource: &str) -> String {
    if resource.len() <= LONGEST_NAME {
        return resource.to_owned();
    }
    let digest = digest(&resource);
    let kept: String = resource
        .chars()
        .take(LONGEST_NAME - 1 - digest.len())
        .collect();
    format!("{}-{digest}", kept.trim_end_matches(['.', '-']))
}

/// The request to a node.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) spec: Spec,
    pub(super) labels: BTreeMap<String, String>,
}

/// What the specifications of all nodes have in common, found once for a decision.
#[derive(Debug)]
pub(super) struct Common {
    targets: Vec<String>,
    /// The values of labels.
    fixed: String,
    changeable: String,
    export: Option<String>,
}

impl Common {
    pub(super) fn of(view: &View<'_>, plan: &Plan) -> Self {
        // Pods and addresses are alternatives. A node combines its conditions by AND, so that pods are then
        // captured by address.
        let targets = if plan.selection.is_some() && !plan.targets.is_empty() {
            let addresses = view.members.values().flat_map(BTreeMap::values);
            let addresses = addresses.filter(|pod| !pod.host_network);
            let addresses = addresses.flat_map(|pod| pod.addresses.iter().cloned());
            let all: BTreeSet<String> = plan.targets.iter().cloned().chain(addresses).collect();
            all.into_iter().collect()
        } else {
            plan.targets.clone()
        };
        Self {
            fixed: plan.fixed_digest(),
            changeable: digest(&(
                &targets,
                &plan.ports,
                &plan.filter,
                (plan.duration.as_secs(), plan.packets),
            )),
            export: (!plan.export.is_empty()).then(|| digest(&plan.export)),
            targets,
        }
    }
}

/// The specification of a node's capture. `offset`: seconds of the run that had passed at its start; `before`: the
/// capture of the same resource that is changed or replaced.
pub(super) fn wanted(
    view: &View<'_>,
    plan: &Plan,
    (run, common): (&Run, &Common),
    node: &str,
    offset: Duration,
    before: Option<&Capture>,
) -> Wanted {
    static NONE: BTreeMap<PodKey, Arc<Pod>> = BTreeMap::new();
    let pods = view.members.get(node).unwrap_or(&NONE);
    let selects_pods = plan.selection.is_some();
    let by_address = !plan.targets.is_empty();
    let pods: Vec<model::Pod> = pods
        .values()
        .take(MOST_PODS)
        .map(|pod| pod_of(pod))
        .collect();
    let pods_digest = if by_address {
        String::new()
    } else {
        digest(&pods)
    };
    let spec = Spec {
        interfaces: plan.interfaces.clone(),
        each_packet_once: Some(plan.records_each_packet_once()),
        direction: plan.direction,
        snaplen: plan.snaplen,
        filter: plan.filter.clone(),
        ports: plan.ports.clone(),
        output: Some(plan.output.clone()),
        limits: Limits {
            duration: Some(Span(
                plan.duration
                    .saturating_sub(offset)
                    .max(Duration::from_secs(1)),
            )),
            packets: Some(plan.packets),
            ..Limits::default()
        },
        pods: (selects_pods && !by_address).then_some(PodSelection {
            pods,
            every_interface: false,
        }),
        targets: common.targets.clone(),
        export: plan.export.clone(),
        ..Spec::default()
    };
    let namespaces = before.map_or_else(Namespaces::none, Namespaces::ever);
    let namespaces = namespaces.and(Namespaces::now(&spec));
    let labels = [
        (LABEL_RESOURCE, label(view.name)),
        (LABEL_UID, view.uid.to_owned()),
        (LABEL_RUN, run.digest.clone()),
        (LABEL_FIXED, common.fixed.clone()),
        (LABEL_PLAN, common.changeable.clone()),
        (LABEL_PODS, pods_digest),
        (LABEL_OFFSET, offset.as_secs().to_string()),
        (LABEL_NAMESPACES, namespaces.label()),
    ];
    let export = common.export.clone().map(|export| (LABEL_EXPORT, export));
    let labels = labels.into_iter().chain(export);
    Wanted {
        spec,
        labels: labels.map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

/// A name as a label's value, which has at most 255 bytes; names of resources have 253.
fn label(text: &str) -> String {
    text.chars().take(253).collect()
}

fn pod_of(pod: &Pod) -> model::Pod {
    model::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        addresses: pod.addresses.clone(),
        containers: pod.containers.clone(),
        host_network: pod.host_network,
    }
}
