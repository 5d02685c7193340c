//! The state of the cluster: pods, nodes, daemons, and the pods that each resource selects.
//! Independent of a server: the watchers update it, and it returns the resources that a change
//! affects.

mod candidates;
mod facts;
mod index;

pub use facts::{DaemonPods, Node, Pod, PodKey, node, pod};
pub use index::{Concerned, Daemon, Index, Interest, Members};
