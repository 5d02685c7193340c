//! Why a capture is attached to an interface, and what that means for packets.

use capture_types::{Direction, PodStage};

/// Why a capture is attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It was requested, and the capture has no pods: every packet counts.
    Asked,
    /// It was requested: packets of the capture's pods count.
    AskedForPods,
    /// It is a pod's host-side interface: packets received there are sent by the pod.
    Pod,
    /// It belongs to the node: packets of pods that are captured by address count.
    Node,
}

impl Role {
    /// What the addresses of pods decide about packets of this direction. A packet sent on a loopback
    /// device is seen once, as received.
    pub(super) const fn stage(self, direction: Direction, is_loopback: bool) -> Option<PodStage> {
        match (self, direction) {
            (Self::Asked, _) | (Self::Pod, Direction::In) => None,
            (Self::AskedForPods, _) => Some(PodStage::WithAnyPod),
            (Self::Pod, Direction::Out) => Some(PodStage::NotFromPod),
            (Self::Node, _) if is_loopback => Some(PodStage::WithPod),
            (Self::Node, Direction::In) => Some(PodStage::ToPod),
            (Self::Node, Direction::Out) => Some(PodStage::FromPod),
        }
    }
}
