//! The captures of all nodes and their changes, watched once however many look at them.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use capture_client::{ClientError, Target, model};
use futures_util::{StreamExt as _, future::join_all};
use tokio::{sync::broadcast, time::sleep};

use super::{Live, convert, nodes, problem};
use crate::api::{Capture, CaptureEvent, CaptureEventKind, Captures, Problem};

/// How often counts are told.
const LEDGERS: Duration = Duration::from_secs(1);
/// How often a coordinator is asked, which tells nothing by itself.
const POLL: Duration = Duration::from_secs(2);
/// Between two attempts to reach a node.
const RETRY: Duration = Duration::from_secs(3);
/// Events that a slow listener may be behind; beyond, it is sent everything again.
const BEHIND: usize = 1024;

/// Watches captures.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    events: broadcast::Sender<CaptureEvent>,
}

/// What is known, by node.
type State = BTreeMap<String, Result<BTreeMap<String, Capture>, Problem>>;

/// A listener: first everything that is known, then changes.
pub struct Subscription {
    watch: Watch,
    waiting: Vec<CaptureEvent>,
    events: broadcast::Receiver<CaptureEvent>,
}

impl Watch {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            events: broadcast::Sender::new(BEHIND),
        }))
    }

    /// Watches until it is dropped.
    pub async fn run(&self, live: &Live) {
        match live {
            Live::Nodes(targets) => {
                join_all(targets.iter().map(|target| self.follow(target))).await;
            }
            Live::Cluster(..) => self.poll(live).await,
        }
    }

    /// Listens.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let (waiting, events) = self.snapshot();
        Subscription {
            watch: self.clone(),
            waiting,
            events,
        }
    }

    /// Everything that is known, the last event first, and the changes after it.
    fn snapshot(&self) -> (Vec<CaptureEvent>, broadcast::Receiver<CaptureEvent>) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        for (node, known) in &*state {
            match known {
                Ok(captures) => {
                    let captures = captures.values().cloned();
                    events.extend(captures.map(|one| event(node, Some(one), None)));
                    events.push(event(node, None, None));
                }
                Err(problem) => events.push(event(node, None, Some(problem.clone()))),
            }
        }
        events.reverse();
        // Under the lock, under which changes are told as well: none is missed, none is told twice.
        (events, self.0.events.subscribe())
    }

    /// Changes what is known, and tells it. Nobody may be listening.
    fn tell(&self, change: impl FnOnce(&mut State) -> Vec<CaptureEvent>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        for event in change(&mut state) {
            let _ = self.0.events.send(event);
        }
    }

    fn lost(&self, node: &str, problem: Problem) {
        self.tell(|state| {
            let new = Err(problem.clone());
            if state.insert(node.to_owned(), new.clone()) == Some(new) {
                return Vec::new();
            }
            vec![event(node, None, Some(problem))]
        });
    }

    /// Follows a node for ever.
    async fn follow(&self, target: &Target) {
        let node = target.label();
        loop {
            let error = match self.follow_once(target, &node).await {
                Ok(()) => ClientError::Broken("the node ended the stream".to_owned()),
                Err(error) => error,
            };
            self.lost(&node, *problem::of(&error));
            sleep(RETRY).await;
        }
    }

    async fn follow_once(&self, target: &Target, node: &str) -> Result<(), ClientError> {
        let client = nodes::client(target, "", "").await?;
        let events = client.watch(&[], &BTreeMap::new(), Some(LEDGERS)).await?;
        let mut events = pin!(events);
        // Until the node has sent everything, what was known stays.
        let mut present = Some(BTreeMap::new());
        while let Some(update) = events.next().await {
            let update = update?;
            let capture = update.capture.map(|one| convert::capture(node, &one));
            match (update.kind, capture) {
                (model::EventKind::Synced, _) => {
                    if let Some(present) = present.take() {
                        self.replace(node, present);
                    }
                }
                (model::EventKind::Deleted, Some(capture)) => {
                    self.tell(|state| {
                        if let Some(Ok(known)) = state.get_mut(node) {
                            known.remove(&capture.name);
                        }
                        vec![deleted(node, capture)]
                    });
                }
                // Only counts are in it.
                (model::EventKind::Ledger, Some(counts)) => self.tell(|state| {
                    let Some(Ok(known)) = state.get_mut(node) else {
                        return Vec::new();
                    };
                    let Some(capture) = known.get_mut(&counts.name) else {
                        return Vec::new();
                    };
                    capture.ledger = counts.ledger;
                    capture.interfaces = counts.interfaces;
                    capture.bytes_written = counts.bytes_written;
                    capture.files_finished = counts.files_finished;
                    vec![event(node, Some(capture.clone()), None)]
                }),
                (_, Some(capture)) => match &mut present {
                    Some(present) => {
                        present.insert(capture.name.clone(), capture);
                    }
                    None => self.tell(|state| {
                        if let Some(Ok(known)) = state.get_mut(node) {
                            known.insert(capture.name.clone(), capture.clone());
                        }
                        vec![event(node, Some(capture), None)]
                    }),
                },
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Everything of a node, new. What is missing was deleted meanwhile.
    fn replace(&self, node: &str, present: BTreeMap<String, Capture>) {
        self.tell(|state| {
            let known = match state.insert(node.to_owned(), Ok(present.clone())) {
                Some(Ok(known)) if known == present => return Vec::new(),
                Some(Ok(known)) => known,
                Some(Err(_)) | None => BTreeMap::new(),
            };
            let gone = known.into_values();
            let gone = gone.filter(|one| !present.contains_key(&one.name));
            let mut events: Vec<_> = gone.map(|one| deleted(node, one)).collect();
            events.extend(
                present
                    .into_values()
                    .map(|one| event(node, Some(one), None)),
            );
            events.push(event(node, None, None));
            events
        });
    }

    /// Asks a coordinator for ever.
    async fn poll(&self, live: &Live) {
        loop {
            match live.captures("").await {
                Ok(found) => self.polled(found),
                Err(problem) => self.lost(COORDINATOR, *problem),
            }
            sleep(POLL).await;
        }
    }

    /// An answer of a coordinator.
    fn polled(&self, found: Captures) {
        let known = self.known().into_iter();
        let mut by_node: BTreeMap<String, BTreeMap<String, Capture>> =
            known.map(|node| (node, BTreeMap::new())).collect();
        // A coordinator without captures has answered as well.
        by_node.entry(COORDINATOR.to_owned()).or_default();
        for capture in found.captures {
            let captures = by_node.entry(capture.node.clone()).or_default();
            captures.insert(capture.name.clone(), capture);
        }
        for (node, problem) in found.problems {
            // Of a node that does not answer the coordinator knows names only.
            by_node.remove(&node);
            self.lost(&node, problem);
        }
        for (node, captures) in by_node {
            self.replace(&node, captures);
        }
    }

    fn known(&self) -> Vec<String> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys().cloned().collect()
    }
}

/// The name under which the coordinator itself is told of. No node has a space in its name.
const COORDINATOR: &str = "the coordinator";

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

fn deleted(node: &str, capture: Capture) -> CaptureEvent {
    CaptureEvent {
        kind: CaptureEventKind::Deleted,
        ..event(node, Some(capture), None)
    }
}

fn event(node: &str, capture: Option<Capture>, problem: Option<Problem>) -> CaptureEvent {
    CaptureEvent {
        kind: match (&capture, &problem) {
            (Some(_), _) => CaptureEventKind::Capture,
            (None, Some(_)) => CaptureEventKind::Problem,
            (None, None) => CaptureEventKind::Synced,
        },
        node: node.to_owned(),
        capture,
        problem,
    }
}

impl Subscription {
    /// The next event.
    pub async fn next(&mut self) -> Option<CaptureEvent> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    (self.waiting, self.events) = self.watch.snapshot();
                }
            }
        }
    }
}
