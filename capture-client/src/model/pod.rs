//! Pods of a capture.

use serde::Serialize;

use super::named;

/// Pods whose packets are captured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PodSelection {
    /// The pods; if empty, the capture waits for some.
    pub pods: Vec<Pod>,
    /// Whether a packet between two of them is kept at both interfaces that it passes.
    pub every_interface: bool,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Distinguishes it from an earlier pod of the same name; may be empty.
    pub uid: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The names of its containers.
    pub containers: Vec<String>,
    /// Whether it shares the node's network.
    pub host_network: bool,
}

/// The state of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodState {
    /// The pod.
    pub pod: Pod,
    /// How its packets are captured.
    pub attachment: PodAttachment,
    /// The index of its host-side interface; 0 without one.
    pub ifindex: u32,
    /// The name of its host-side interface; empty without one.
    pub interface: String,
    /// One sentence of explanation; may be empty.
    pub message: String,
}

named! {
    /// How a pod's packets are captured.
    pub enum PodAttachment {
        /// Not yet: it has no interface on the node.
        Waiting = "waiting",
        /// At its own host-side interface.
        Interface = "interface",
        /// By its addresses, on the node's interfaces.
        Address = "address",
        /// Not captured.
        Unreachable = "unreachable",
    }
}
