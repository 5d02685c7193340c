//! Places of authenticated clients: the limits on connections, per client and in total.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::grpc::peer::Peer;
use capture_types::Role;

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    taken: Mutex<Taken>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    viewers: usize,
    total: usize,
    by_client: HashMap<Arc<str>, usize>,
}

/// The place of a connection; freed when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: Peer,
}

impl Places {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            taken: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Waits for a place for this client and takes it. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>, peer: &Peer) -> Place {
        loop {
            // Subscribed before the check, so that no freed place is missed.
            let left = self.left.notified();
            if let Some(place) = self.try_take(peer) {
                return place;
            }
            left.await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: &Peer) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.by_client.get(&peer.identity).copied().unwrap_or(0);
        // A quarter of all places is reserved for operators, and an eighth for operators other than
        // the one with most connections; a viewer gets at most a quarter.
        let share = match peer.role {
            Role::Viewer => self.all / 4,
            Role::Operator => self.all - self.all / 8,
        };
        let viewers = self.all - self.all / 4;
        let is_viewer = peer.role == Role::Viewer;
        if taken.total >= self.all
            || own >= share.max(1)
            || (is_viewer && taken.viewers >= viewers.max(1))
        {
            return None;
        }
        taken.total += 1;
        taken.viewers += usize::from(is_viewer);
        taken.by_client.insert(Arc::clone(&peer.identity), own + 1);
        Some(Place {
            places: Arc::clone(self),
            peer: peer.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // All counts change together: a panic elsewhere leaves them consistent.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        taken.viewers -= usize::from(self.peer.role == Role::Viewer);
        if let Some(own) = taken.by_client.get_mut(&self.peer.identity) {
            *own -= 1;
            if *own == 0 {
                taken.by_client.remove(&self.peer.identity);
            }
        }
        drop(taken);
        self.places.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, role: Role) -> Peer {
        Peer {
            identity: name.into(),
            role,
        }
    }

    #[test]
    fn viewers_leave_places_to_others_and_to_operators() {
        let places = Places::new(16);
        let take = |name: &str, role| places.try_take(&peer(name, role));
        let fill =
            |name: &str, role| -> Vec<Place> { std::iter::from_fn(|| take(name, role)).collect() };
        let eve = fill("eve", Role::Viewer);
        assert_eq!(eve.len(), 4);
        let others: Vec<_> = ["bob", "carol", "dave"]
            .iter()
            .flat_map(|name| fill(name, Role::Viewer))
            .collect();
        assert_eq!(others.len(), 8, "a quarter is kept");
        let alice = fill("alice", Role::Operator);
        assert_eq!(alice.len(), 4);
        drop(eve);
        assert!(take("alice", Role::Operator).is_some());
        drop((others, alice));
        assert_eq!(fill("alice", Role::Operator).len(), 14, "two are kept");
        assert_eq!(places.lock().total, 0);
        assert!(places.lock().by_client.is_empty());
    }

    #[test]
    fn each_role_has_a_place_where_there_are_few() {
        let places = Places::new(1);
        for role in [Role::Viewer, Role::Operator] {
            assert!(places.try_take(&peer("any", role)).is_some());
        }
    }
}
