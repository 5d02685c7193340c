//! What is known of the cluster: pods, nodes, daemons, and which pods each resource means. Without a
//! server: the watchers feed it, and it says which resources a change concerns.

mod facts;
mod index;

pub use facts::{DaemonPods, Node, Pod, PodKey, node, pod};
pub use index::{Concerned, Daemon, Index, Interest, Members};
