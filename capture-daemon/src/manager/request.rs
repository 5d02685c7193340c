//! What a client or a configuration file asks for.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::kernel::rings::RingSizes;
use capture_types::{CaptureName, CaptureSpec, InterfacePattern, Limits, Output};

/// A capture that is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaptureRequest {
    /// What is captured, and where it goes. Its limits count from the first start.
    pub spec: CaptureSpec,
    /// Limits that the manager watches over.
    pub stop: StopConditions,
    /// Finished files are removed so long after their last byte.
    pub keep_for: Option<Duration>,
    /// Free for clients.
    pub labels: BTreeMap<String, String>,
    /// Why, as the client said.
    pub reason: String,
    /// Makes the order safe to repeat.
    pub request_id: Option<String>,
    /// Tells the request from another one with the same id, if it has one.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Who asked for it, as in the audit log.
    pub created_by: String,
}

/// Limits beside those in [`Limits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopConditions {
    /// After about so many bytes in files.
    pub bytes: Option<u64>,
    /// At this time, UTC nanoseconds.
    pub deadline: Option<u64>,
}

/// File descriptors of a capture beside those of its interfaces: maps, programs, rings, files and what
/// watches over them, with some to spare for a rotation.
const DESCRIPTORS: u64 = 40;

/// File descriptors of an interface: its links for both directions.
const DESCRIPTORS_PER_INTERFACE: u64 = 2;

/// File descriptors of a capture of pods beside those of others: nine maps of addresses, programs of five
/// more kinds, and a socket.
const DESCRIPTORS_OF_PODS: u64 = 20;

impl CaptureRequest {
    /// File descriptors that it may need while it runs, if there are so many interfaces.
    #[must_use]
    pub fn descriptors(&self, interfaces: u64) -> u64 {
        let follows = |pattern: &InterfacePattern| !matches!(pattern, InterfacePattern::Name(_));
        // Pods can come, and be captured at any interface.
        let count = if self.spec.pods.is_some() || self.spec.interfaces.iter().any(follows) {
            interfaces.max(1)
        } else {
            self.spec.interfaces.len() as u64
        };
        let pods = self.spec.pods.as_ref().map_or(0, |_| DESCRIPTORS_OF_PODS);
        DESCRIPTORS + pods + count * DESCRIPTORS_PER_INTERFACE
    }

    /// A digest of everything that a client gave but the name, if the node made that up.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let mut request = self.clone();
        if request.labels.remove(MADE_UP_NAME).is_some() {
            // The same for all names that nodes make up.
            request.spec.name = CaptureName::new("made-up").ok()?;
        }
        if let Output::Files(files) = &mut request.spec.output {
            files.directory = std::path::PathBuf::new();
        }
        request.fingerprint = None;
        let json = serde_json::to_vec(&request).ok()?;
        Some(capture_file::hex(&Sha256::digest(json)))
    }

    /// Bytes that the rings take while it runs.
    #[must_use]
    pub const fn ring_memory(&self) -> u64 {
        RingSizes::new(self.spec.ring_size).total()
    }

    /// When it stops by its duration or its deadline, if it first started at `started`; UTC
    /// nanoseconds.
    #[must_use]
    pub fn ends_at(&self, started: u64) -> Option<u64> {
        let duration = self.spec.limits.duration.map(|duration| {
            started.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        });
        [duration, self.stop.deadline].into_iter().flatten().min()
    }

    /// Whether its limits leave it something to do after so many packets and bytes.
    #[must_use]
    pub fn has_more_to_do(&self, started: u64, now: u64, packets: u64, bytes: u64) -> bool {
        self.ends_at(started).is_none_or(|end| now < end)
            && self.spec.limits.packets.is_none_or(|limit| packets < limit)
            && self.stop.bytes.is_none_or(|limit| bytes < limit)
    }

    /// What one session is to do after so many packets of earlier ones: the manager itself watches
    /// the time.
    #[must_use]
    pub fn session_spec(&self, packets: u64) -> CaptureSpec {
        let mut spec = self.spec.clone();
        spec.limits = Limits {
            duration: None,
            packets: spec
                .limits
                .packets
                .map(|limit| limit.saturating_sub(packets)),
        };
        spec
    }
}

/// A label that says that the client gave no name.
pub const MADE_UP_NAME: &str = "captured/made-up-name";
