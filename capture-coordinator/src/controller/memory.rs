//! The leader's memory of each resource between two reconciles: only data that may be lost at any time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use capture_client::model::File;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::DefaultBackoff;

use crate::{decide::Fault, resource::PacketCaptureConfigStatus};

/// The memory of a resource.
#[derive(Default)]
pub(super) struct Memory {
    /// Its uid.
    pub(super) uid: String,
    /// The finalizer was set: the watch may be behind.
    pub(super) is_finalizer_set: bool,
    /// The status that was last written: the watch may lag.
    pub(super) written: Option<Arc<PacketCaptureConfigStatus>>,
    /// When it was written.
    pub(super) written_at: Option<Instant>,
    /// Errors of nodes.
    faults: HashMap<String, (Fault, DefaultBackoff)>,
    /// Files of ended captures, by node, with the capture's uid.
    files: HashMap<String, (String, Arc<Vec<File>>)>,
    /// Waits between attempts at the API server.
    backoff: DefaultBackoff,
}

impl Memory {
    pub(super) fn fault(&self, node: &str) -> Option<Fault> {
        self.faults.get(node).map(|(fault, _)| fault.clone())
    }

    /// Records an error of a node; temporary errors are retried with increasing delays.
    pub(super) fn note_fault(&mut self, node: &str, run: &str, message: String, permanent: bool) {
        let (_, mut waits) = self.faults.remove(node).unwrap_or_else(|| {
            let none = Fault {
                message: String::new(),
                permanent: false,
                run: String::new(),
                retry_at: Timestamp::now(),
            };
            (none, DefaultBackoff::default())
        });
        let wait = waits.next().unwrap_or(Duration::from_secs(30));
        let wait = SignedDuration::try_from(wait).unwrap_or_default();
        let now = Timestamp::now();
        let fault = Fault {
            message,
            permanent,
            run: run.to_owned(),
            retry_at: now.checked_add(wait).unwrap_or(now),
        };
        self.faults.insert(node.to_owned(), (fault, waits));
    }

    pub(super) fn forget_fault(&mut self, node: &str) {
        self.faults.remove(node);
    }

    /// The files of a node's capture, if it is the one with this uid.
    pub(super) fn files(&self, node: &str, uid: &str) -> Option<Arc<Vec<File>>> {
        let (of, files) = self.files.get(node)?;
        (of == uid).then(|| Arc::clone(files))
    }

    pub(super) fn note_files(&mut self, node: &str, uid: &str, files: Vec<File>) {
        self.files
            .insert(node.to_owned(), (uid.to_owned(), Arc::new(files)));
    }

    /// The delay after another failure of the API server.
    pub(super) fn wait(&mut self) -> Duration {
        self.backoff.next().unwrap_or(Duration::from_secs(30))
    }

    pub(super) fn succeeded(&mut self) {
        self.backoff = DefaultBackoff::default();
    }
}

/// The memory of all resources, by name.
#[derive(Default)]
pub(super) struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the memory of a resource.
    pub(super) fn with<T>(
        &self,
        name: &str,
        uid: &str,
        use_it: impl FnOnce(&mut Memory) -> T,
    ) -> T {
        let mut memories = self.lock();
        let memory = memories.entry(name.to_owned()).or_default();
        if memory.uid != uid {
            *memory = Memory {
                uid: uid.to_owned(),
                ..Memory::default()
            };
        }
        use_it(memory)
    }

    /// How many resources are remembered.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}
