use capture_proto::v1;

use crate::model::{Pod, PodAttachment, PodSelection, PodState};

pub(super) fn selection(selection: v1::PodSelection) -> PodSelection {
    PodSelection {
        pods: selection.pods.into_iter().map(pod).collect(),
        every_interface: selection.every_interface,
    }
}

pub(super) fn selection_to_proto(selection: PodSelection) -> v1::PodSelection {
    v1::PodSelection {
        pods: selection.pods.into_iter().map(pod_to_proto).collect(),
        every_interface: selection.every_interface,
    }
}

pub(super) fn pod_state(state: v1::PodState) -> PodState {
    PodState {
        attachment: match state.attachment() {
            v1::PodAttachment::Unspecified => PodAttachment::Unknown,
            v1::PodAttachment::Waiting => PodAttachment::Waiting,
            v1::PodAttachment::Interface => PodAttachment::Interface,
            v1::PodAttachment::Address => PodAttachment::Address,
            v1::PodAttachment::Unreachable => PodAttachment::Unreachable,
        },
        pod: pod(state.pod.unwrap_or_default()),
        ifindex: state.ifindex,
        interface: state.interface,
        message: state.message,
    }
}

fn pod(pod: v1::Pod) -> Pod {
    Pod {
        namespace: pod.namespace,
        name: pod.name,
        uid: pod.uid,
        addresses: pod.addresses,
        containers: pod.containers,
        host_network: pod.host_network,
    }
}

fn pod_to_proto(pod: Pod) -> v1::Pod {
    v1::Pod {
        namespace: pod.namespace,
        name: pod.name,
        uid: pod.uid,
        addresses: pod.addresses,
        containers: pod.containers,
        host_network: pod.host_network,
    }
}
