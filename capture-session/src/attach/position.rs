//! Whether other programs run before ours, and when that changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use rtnetlink::Handle;
use tokio::sync::Notify;

use super::{Attachment, Method, clsact, hook};
use capture_kernel::{object::PROGRAM_PREFIX, syscall::tcx_revision};
use capture_types::Direction;

/// How often the kernel is polled for TCX programs that were attached or detached: it sends no
/// notifications of that.
const REVISION_INTERVAL: Duration = Duration::from_secs(3);

/// The position of our program among those at an interface's hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Before all programs of others that the kernel lists.
    First,
    /// After these programs, by name, in the order in which they run. Packets that they drop or
    /// redirect are not seen.
    Behind(Vec<String>),
    /// Detached by somebody else.
    Missing,
}

impl Position {
    /// Queries the kernel. TCX programs run before every clsact filter.
    pub async fn query(
        netlink: &Handle,
        attachment: &Attachment,
        interface: &str,
        ifindex: u32,
        direction: Direction,
    ) -> Self {
        let tcx = tcx(attachment.method(), interface, direction);
        let Some(key) = attachment.filter_key() else {
            return tcx;
        };
        let mut before = match tcx {
            Self::Behind(programs) => programs,
            Self::First | Self::Missing => Vec::new(),
        };
        match clsact::filters_before(netlink, ifindex, direction, key).await {
            Ok(None) => return Self::Missing,
            Ok(Some(filters)) => before.extend(filters),
            // Filters that are already known are still reported.
            Err(error) => tracing::debug!("filters of interface {interface}: {error}"),
        }
        if before.is_empty() {
            Self::First
        } else {
            Self::Behind(before)
        }
    }

    fn among(method: Method, mut programs: impl Iterator<Item = String>) -> Self {
        let mut before = Vec::new();
        let found = programs.any(|name| {
            let ours = name.starts_with(PROGRAM_PREFIX);
            if !ours {
                before.push(name);
            }
            ours
        });
        match method {
            Method::Tcx if !found => Self::Missing,
            _ if before.is_empty() => Self::First,
            _ => Self::Behind(before),
        }
    }
}

/// The position among the TCX programs alone.
pub(super) fn tcx(method: Method, interface: &str, direction: Direction) -> Position {
    let hook = match direction {
        Direction::In => TcAttachType::Ingress,
        Direction::Out => TcAttachType::Egress,
    };
    let Ok((_revision, programs)) = SchedClassifier::query_tcx(interface, hook) else {
        return Position::First;
    };
    let names = programs.iter().map(|program| match program.name_as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("program {}", program.id()),
    });
    Position::among(method, names)
}

/// Notices when TCX programs are attached or detached at the hooks of a capture.
///
/// One thread polls for all captures of the process, and only while there are hooks to watch; a
/// capture wakes up only when something has changed.
#[derive(Debug)]
pub struct Positions(Arc<Watched>);

#[derive(Debug, Default)]
struct Watched {
    changed: Notify,
    /// By interface index and direction: the revision last seen, once there is one.
    hooks: Mutex<HashMap<(u32, Direction), Option<u64>>>,
}

impl Positions {
    /// Watches no hooks yet.
    #[must_use]
    pub fn new() -> Self {
        let watched = Arc::new(Watched::default());
        let watcher = watcher();
        lock(&watcher.captures).push(Arc::downgrade(&watched));
        Self(watched)
    }

    /// Watches a hook from now on.
    pub fn watch(&self, ifindex: u32, direction: Direction) {
        lock(&self.0.hooks).insert((ifindex, direction), None);
        // The first poll, which comes soon, reports the positions.
        self.0.changed.notify_one();
        watcher().thread.unpark();
    }

    /// Stops watching an interface's hooks.
    pub fn forget(&self, ifindex: u32) {
        lock(&self.0.hooks).retain(|(watched, _), _| *watched != ifindex);
    }

    /// Waits until something has changed at any hook. Cancel safe.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Default for Positions {
    fn default() -> Self {
        Self::new()
    }
}

impl Watched {
    /// Polls each hook; returns whether there are any.
    fn look(&self) -> bool {
        let mut changed = false;
        let mut hooks = lock(&self.hooks);
        for ((ifindex, direction), seen) in hooks.iter_mut() {
            // Before Linux 6.6, and for an interface that is gone, there is no revision.
            let now = tcx_revision(*ifindex, hook(*direction)).ok();
            changed |= seen.is_some() && *seen != now;
            *seen = now;
        }
        if changed {
            self.changed.notify_one();
        }
        !hooks.is_empty()
    }
}

/// Polls the hooks of all captures.
struct Watcher {
    captures: Arc<Mutex<Vec<Weak<Watched>>>>,
    thread: thread::Thread,
}

fn watcher() -> &'static Watcher {
    static WATCHER: OnceLock<Watcher> = OnceLock::new();
    WATCHER.get_or_init(|| {
        let captures: Arc<Mutex<Vec<Weak<Watched>>>> = Arc::default();
        let looked_at = Arc::clone(&captures);
        let spawned = thread::Builder::new()
            .name("positions".to_owned())
            .spawn(move || watch(&looked_at));
        let thread = match spawned {
            Ok(handle) => handle.thread().clone(),
            Err(error) => {
                tracing::warn!(
                    "programs attached before the recorder later are not noticed: {error}"
                );
                thread::current()
            }
        };
        Watcher { captures, thread }
    })
}

fn watch(captures: &Mutex<Vec<Weak<Watched>>>) {
    loop {
        let mut any = false;
        let watched: Vec<_> = {
            let mut captures = lock(captures);
            captures.retain(|one| one.strong_count() > 0);
            captures.iter().filter_map(Weak::upgrade).collect()
        };
        for one in watched {
            any |= one.look();
        }
        if any {
            thread::sleep(REVISION_INTERVAL);
        } else {
            thread::park();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are added and removed whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Method, Position};

    #[test]
    fn programs_before_ours_are_named_and_a_detached_program_is_noticed() {
        let position = |method, names: &[&str]| {
            Position::among(method, names.iter().map(|name| (*name).to_owned()))
        };
        let behind = Position::Behind(vec!["cil_from_netdev".to_owned()]);
        assert_eq!(
            position(Method::Tcx, &["captured_eth_in", "other"]),
            Position::First
        );
        assert_eq!(
            position(Method::Tcx, &["cil_from_netdev", "captured_filter"]),
            behind
        );
        assert_eq!(
            position(Method::Tcx, &["cil_from_netdev"]),
            Position::Missing
        );
        assert_eq!(position(Method::Tcx, &[]), Position::Missing);
        assert_eq!(position(Method::Clsact, &["cil_from_netdev"]), behind);
        assert_eq!(position(Method::Clsact, &[]), Position::First);
    }
}
