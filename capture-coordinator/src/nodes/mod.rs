//! The cluster's daemons: one long-lived connection to each, over which its captures are watched. The state
//! of captures comes only from the daemons, so that a restarted coordinator starts nothing twice.

mod agent;
mod state;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capture_client::{Address, Client, Target, Tls, model::Capture};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{cluster::Daemon, decide::Link};
pub use state::NodeState;
use state::{Places, Shared};

/// How to connect to daemons.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Certificates; `None` without TLS.
    pub tls: Option<NodeTls>,
    /// The port of daemons.
    pub port: u16,
}

/// Certificates for the connections to daemons, as PEM files. They are read for each connection, so that
/// renewed ones are used without a restart.
#[derive(Debug, Clone)]
pub struct NodeTls {
    /// The authority that signed the daemons' certificates.
    pub cacert: PathBuf,
    /// The coordinator's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The name in the daemons' certificates, if different from the host.
    pub server_name: Option<String>,
}

impl Reach {
    fn target(&self, address: &str) -> Target {
        let host = match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Err(_) if has_port(address) => address.to_owned(),
            _ => format!("{address}:{}", self.port),
        };
        Target {
            address: Address::Tcp(host),
            tls: self.tls.as_ref().map(|tls| Tls {
                cacert: tls.cacert.clone(),
                cert: tls.cert.clone(),
                key: tls.key.clone(),
                server_name: tls.server_name.clone(),
            }),
        }
    }
}

/// Whether a port follows the last colon.
fn has_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// A change on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The connection, and with it the state of everything on the node.
    Link {
        /// The node.
        node: String,
    },
    /// A capture.
    Capture {
        /// The node.
        node: String,
        /// The capture's name.
        capture: String,
        /// Whether only its numbers changed.
        numbers: bool,
    },
}

/// Maximum changes that wait to be handled; each is only a name.
const CHANGES: usize = 65_536;

/// All nodes.
#[derive(Debug)]
pub struct Nodes {
    reach: Reach,
    nodes: Mutex<HashMap<String, Known>>,
    places: Arc<Places>,
    changes: mpsc::Sender<Change>,
}

#[derive(Debug)]
struct Known {
    daemon: Daemon,
    state: Shared,
    task: AbortHandle,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Nodes {
    /// No nodes, and the receiver of changes.
    #[must_use]
    pub fn new(reach: Reach) -> (Arc<Self>, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(CHANGES);
        let nodes = Self {
            reach,
            nodes: Mutex::default(),
            places: Arc::default(),
            changes,
        };
        (Arc::new(nodes), receiver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the existing daemons, and drops nodes for which `keep` is false. A node whose daemon
    /// is gone is kept: another daemon will come.
    pub fn follow(&self, daemons: &BTreeMap<String, Daemon>, keep: impl Fn(&str) -> bool) {
        let mut nodes = self.lock();
        nodes.retain(|name, known| {
            let stays = daemons.contains_key(name) || keep(name);
            if !stays {
                known.state.lock().leave();
            }
            stays
        });
        for (name, daemon) in daemons {
            let state = match nodes.get(name) {
                Some(known) if known.daemon == *daemon => continue,
                // Another daemon on the same node: the previous daemon's report is kept until the new
                // one sends its own.
                Some(known) => known.state.clone(),
                None => Shared::new(name, &self.places),
            };
            {
                let mut state = state.lock();
                if state.link == Link::NoDaemon {
                    state.connect(Link::Connecting, None);
                }
            }
            let agent = agent::Agent {
                node: name.clone(),
                target: self.reach.target(&daemon.address),
                state: state.clone(),
                changes: self.changes.clone(),
            };
            let known = Known {
                daemon: daemon.clone(),
                state,
                task: tokio::spawn(agent.run()).abort_handle(),
            };
            nodes.insert(name.clone(), known);
        }
    }

    fn shared(&self, node: &str) -> Option<Shared> {
        Some(self.lock().get(node)?.state.clone())
    }

    /// The state of a node.
    #[must_use]
    pub fn get(&self, node: &str) -> Option<NodeState> {
        let state = self.shared(node)?;
        let state = state.lock();
        Some(NodeState::clone(&state))
    }

    /// The link to a node and one of its captures: everything that a resource needs.
    #[must_use]
    pub fn view(&self, node: &str, capture: &str) -> Option<(Link, Option<Arc<Capture>>)> {
        let state = self.shared(node)?;
        let state = state.lock();
        Some((state.link.clone(), state.captures.get(capture).cloned()))
    }

    /// The connection to a node, if there is one.
    #[must_use]
    pub fn client(&self, node: &str) -> Option<Client> {
        let state = self.shared(node)?;
        let state = state.lock();
        (state.link == Link::Ready)
            .then(|| state.client.clone())
            .flatten()
    }

    /// Names of all nodes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.lock().keys().cloned().collect();
        names.sort();
        names
    }

    /// Names of nodes that have a capture of this name, in order. Its cost does not depend on the number of nodes.
    #[must_use]
    pub fn with_capture(&self, capture: &str) -> Vec<String> {
        self.places.of(capture)
    }

    /// Stores a node's answer, before its watch reports it.
    pub fn learn(&self, node: &str, capture: Capture) {
        let Some(state) = self.shared(node) else {
            return;
        };
        let mut state = state.lock();
        let newer = state
            .captures
            .get(&capture.name)
            .is_none_or(|old| old.uid != capture.uid || old.generation <= capture.generation);
        if newer {
            state.put(capture);
        }
    }

    /// A node has deleted a capture.
    pub fn forget(&self, node: &str, capture: &str) {
        if let Some(state) = self.shared(node) {
            state.lock().remove(capture);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        let reach = Reach {
            tls: None,
            port: 8080,
        };
        for (address, target) in [
            ("192.0.2.1", "192.0.2.1:8080"),
            ("2001:db8::1", "[2001:db8::1]:8080"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
            ("node.example", "node.example:8080"),
            ("node.example:9", "node.example:9"),
        ] {
            assert_eq!(reach.target(address).label(), target);
        }
    }
}
