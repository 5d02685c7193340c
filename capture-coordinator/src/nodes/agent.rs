//! The connection to one daemon.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use capture_client::{
    CallOptions, Client, ClientError, Target,
    model::{Capture, EventKind},
};
use futures_util::StreamExt as _;
use kube::runtime::watcher::DefaultBackoff;
use tokio::{sync::mpsc, time::sleep};

use super::{Change, Shared};
use crate::decide::Link;

/// Time limit for an answer of a daemon. Starting a capture compiles a program.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often running captures send their counts.
const NUMBERS: Duration = Duration::from_secs(2);
/// A connection that lasted this long was good: the next attempt comes at once.
const STEADY: Duration = Duration::from_secs(30);

pub(super) struct Agent {
    pub(super) node: String,
    pub(super) target: Target,
    pub(super) state: Shared,
    pub(super) changes: mpsc::Sender<Change>,
}

impl Agent {
    /// Connects repeatedly, until it is aborted.
    pub(super) async fn run(self) {
        let mut waits = DefaultBackoff::default();
        loop {
            let began = tokio::time::Instant::now();
            let problem = match self.watch().await {
                Ok(()) => "the daemon ended the connection".to_owned(),
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= STEADY {
                waits = DefaultBackoff::default();
            }
            let is_new = {
                let mut state = self.state.lock();
                let link = Link::Broken(problem.clone());
                let is_new = state.link != link;
                state.connect(link, None);
                is_new
            };
            if is_new {
                tracing::warn!("node {} ({}): {problem}", self.node, self.target);
                self.tell(Change::Link {
                    node: self.node.clone(),
                })
                .await;
            }
            // The iterator is endless; without one there would be a storm of attempts.
            sleep(waits.next().unwrap_or(STEADY)).await;
        }
    }

    /// Watches until the connection breaks.
    async fn watch(&self) -> Result<(), ClientError> {
        let options = CallOptions {
            timeout: Some(TIMEOUT),
            reason: "PacketCaptureConfig".to_owned(),
        };
        let client = Client::connect(&self.target, &options).await?;
        let version = client.node().await?.version;
        let events = client.watch(&[], &BTreeMap::new(), Some(NUMBERS)).await?;
        let mut events = pin!(events);
        let mut present = BTreeMap::new();
        let mut synced = false;
        while let Some(event) = events.next().await {
            let event = event?;
            match (event.kind, event.capture) {
                (EventKind::Synced, _) => {
                    synced = true;
                    {
                        let mut state = self.state.lock();
                        state.replace(std::mem::take(&mut present));
                        state.connect(Link::Ready, Some(client.clone()));
                        state.set_version(&version);
                    }
                    tracing::info!(
                        "node {} ({}): connected, captured {version}",
                        self.node,
                        self.target
                    );
                    self.tell(Change::Link {
                        node: self.node.clone(),
                    })
                    .await;
                }
                (_, Some(capture)) if !synced => {
                    present.insert(capture.name.clone(), capture);
                }
                (kind, Some(capture)) => self.take(kind, capture).await,
                (_, None) => {}
            }
        }
        Ok(())
    }

    async fn take(&self, kind: EventKind, capture: Capture) {
        let name = capture.name.clone();
        {
            let mut state = self.state.lock();
            match kind {
                EventKind::Deleted => {
                    let same = state
                        .captures
                        .get(&name)
                        .is_some_and(|known| known.uid == capture.uid);
                    if same {
                        state.remove(&name);
                    }
                }
                EventKind::Ledger => {
                    let Some(known) = state.captures.get(&name) else {
                        return;
                    };
                    if known.uid != capture.uid {
                        return;
                    }
                    let mut updated = Capture::clone(known);
                    updated.ledger = capture.ledger;
                    updated.interfaces = capture.interfaces;
                    updated.bytes_written = capture.bytes_written;
                    updated.files_finished = capture.files_finished;
                    updated.current_file = capture.current_file;
                    let same = updated.ledger == known.ledger
                        && updated.bytes_written == known.bytes_written
                        && updated.current_file == known.current_file;
                    if same {
                        return;
                    }
                    state.put(updated);
                }
                _ => {
                    state.put(capture);
                }
            }
        }
        self.tell(Change::Capture {
            node: self.node.clone(),
            capture: name,
            numbers: kind == EventKind::Ledger,
        })
        .await;
    }

    async fn tell(&self, change: Change) {
        // If the receiver is gone, the coordinator is shutting down.
        let _ = self.changes.send(change).await;
    }
}
