//! Pods: from a request to the domain, and the state of each back to the API.

use std::collections::{HashMap, HashSet};

use capture_proto::v1;

use crate::grpc::{bounds, status::Violations};
use capture_types::{
    Pod, PodAttachment, PodId, PodSelection, PodState,
    pod::{MAX_CONTAINERS, MAX_POD_ADDRESSES, MAX_PODS, container_name, pod_address},
};

/// The pods that a request names, each checked.
pub(super) fn pods(given: &v1::PodSelection, wrong: &mut Violations) -> PodSelection {
    const FIELD: &str = "spec.pods.pods";
    let mut selection = PodSelection {
        pods: Vec::new(),
        every_interface: given.every_interface,
    };
    if !wrong.at_most_elements(FIELD, given.pods.len(), MAX_PODS) {
        return selection;
    }
    let mut known = HashSet::new();
    for (at, given) in given.pods.iter().enumerate() {
        let field = format!("{FIELD}[{at}]");
        let Some(pod) = pod(&field, given, wrong) else {
            continue;
        };
        if !known.insert(pod.id.clone()) {
            wrong.add(field, format!("pod {} is listed twice", pod.id));
            continue;
        }
        selection.pods.push(pod);
    }
    selection
}

fn pod(field: &str, given: &v1::Pod, wrong: &mut Violations) -> Option<Pod> {
    let id = PodId::new(&given.namespace, &given.name, &given.uid)
        .map_err(|(part, error)| wrong.add(format!("{field}.{part}"), error))
        .ok();
    let addresses = values(
        &format!("{field}.addresses"),
        &given.addresses,
        MAX_POD_ADDRESSES,
        pod_address,
        wrong,
    );
    let containers = values(
        &format!("{field}.containers"),
        &given.containers,
        MAX_CONTAINERS,
        container_name,
        wrong,
    );
    Some(Pod {
        id: id?,
        addresses,
        containers,
        host_network: given.host_network,
    })
}

fn values<T, E: ToString>(
    field: &str,
    given: &[String],
    most: usize,
    convert: impl Fn(&str) -> Result<T, E>,
    wrong: &mut Violations,
) -> Vec<T> {
    if !wrong.at_most_elements(field, given.len(), most) {
        return Vec::new();
    }
    let mut values = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let field = format!("{field}[{at}]");
        if wrong.at_most(&field, text, bounds::POD_TEXT) {
            values.extend(wrong.take(field, convert(text)));
        }
    }
    values
}

/// The selection as the API has it.
pub(super) fn selection(selection: &PodSelection) -> v1::PodSelection {
    v1::PodSelection {
        pods: selection.pods.iter().map(to_proto).collect(),
        every_interface: selection.every_interface,
    }
}

fn to_proto(pod: &Pod) -> v1::Pod {
    v1::Pod {
        namespace: pod.id.namespace.clone(),
        name: pod.id.name.clone(),
        uid: pod.id.uid.clone(),
        addresses: pod.addresses.iter().map(ToString::to_string).collect(),
        containers: pod.containers.clone(),
        host_network: pod.host_network,
    }
}

/// The state of each pod of the selection, in its order. A pod without a known state is waiting.
pub(super) fn pod_states(
    selection: Option<&PodSelection>,
    states: &[PodState],
) -> Vec<v1::PodState> {
    let known: HashMap<&PodId, &PodState> = states.iter().map(|state| (&state.id, state)).collect();
    let state = |pod: &Pod| {
        let state = known.get(&pod.id);
        v1::PodState {
            pod: Some(to_proto(pod)),
            attachment: attachment(state.map_or(PodAttachment::Waiting, |state| state.attachment))
                .into(),
            ifindex: state.map_or(0, |state| state.ifindex),
            interface: state.map_or_else(String::new, |state| state.interface.clone()),
            message: state.map_or_else(String::new, |state| state.message.clone()),
        }
    };
    selection
        .map(|selection| selection.pods.iter().map(state).collect())
        .unwrap_or_default()
}

const fn attachment(attachment: PodAttachment) -> v1::PodAttachment {
    match attachment {
        PodAttachment::Waiting => v1::PodAttachment::Waiting,
        PodAttachment::Interface => v1::PodAttachment::Interface,
        PodAttachment::Address => v1::PodAttachment::Address,
        PodAttachment::Unreachable => v1::PodAttachment::Unreachable,
    }
}
