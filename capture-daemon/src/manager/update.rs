//! Changing a capture while it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use ipnet::IpNet;

use super::{Capture, Manager, ManagerError, Record};
use capture_types::FilterSpec;

/// What is to change; `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Another filter.
    pub filter: Option<FilterSpec>,
    /// Other addresses and networks; `Some(None)` for any.
    pub hosts: Option<Option<Vec<IpNet>>>,
    /// Other ports; `Some(None)` for any.
    pub ports: Option<Option<Vec<u16>>>,
    /// Stop so long after the start.
    pub duration: Option<Option<Duration>>,
    /// Stop after so many packets.
    pub packets: Option<Option<u64>>,
    /// Stop after so many bytes.
    pub bytes: Option<Option<u64>>,
    /// Stop at this time, UTC nanoseconds.
    pub deadline: Option<Option<u64>>,
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
}

impl Manager {
    /// Changes a capture that has not ended, if it is of the generation that is expected.
    pub async fn update(
        &self,
        capture: &Arc<Capture>,
        expected: Option<u64>,
        update: Update,
    ) -> Result<Arc<Capture>, ManagerError> {
        // The filter and the targets first: they are what the kernel can refuse.
        let mut targets = capture.record().request.spec.targets;
        set(&mut targets.hosts, update.hosts.clone());
        set(&mut targets.ports, update.ports.clone());
        if update.filter.is_some() || update.hosts.is_some() || update.ports.is_some() {
            let record = capture.record();
            check_generation(&record, expected)?;
            let (name, state) = (record.name.to_string(), record.state);
            let live = capture.live().ok_or(ManagerError::Ended { name, state })?;
            if let Some(filter) = &update.filter {
                live.control.set_filter(filter.clone()).await?;
            }
            if targets != record.request.spec.targets {
                live.control.set_targets(targets.clone()).await?;
            }
        }
        let mut refused = None;
        capture.change_if(|record| {
            let name = record.name.to_string();
            if let Some(expected) = expected
                && expected != record.generation
            {
                let actual = record.generation;
                refused = Some(ManagerError::Generation {
                    name,
                    expected,
                    actual,
                });
                return false;
            }
            // A label can be changed at any time.
            let only_labels = update
                == Update {
                    labels: update.labels.clone(),
                    ..Update::default()
                };
            if !record.state.is_active() && !only_labels {
                refused = Some(ManagerError::Ended {
                    name,
                    state: record.state,
                });
                return false;
            }
            let request = &mut record.request;
            set(&mut request.spec.filter, update.filter.clone());
            request.spec.targets = targets;
            set(&mut request.spec.limits.duration, update.duration);
            set(&mut request.spec.limits.packets, update.packets);
            set(&mut request.stop.bytes, update.bytes);
            set(&mut request.stop.deadline, update.deadline);
            if let Some(labels) = &update.labels {
                request.labels.clone_from(labels);
            }
            true
        });
        if let Some(error) = refused {
            return Err(error);
        }
        if let (Some(packets), Some(live)) = (update.packets, capture.live()) {
            let before = capture.record().totals.total.written;
            let limit = packets.map_or(u64::MAX, |packets| packets.saturating_sub(before));
            live.shared.packet_limit.store(limit, Relaxed);
        }
        self.inner.save(capture).await;
        self.inner.announce();
        Ok(Arc::clone(capture))
    }
}

fn check_generation(record: &Record, expected: Option<u64>) -> Result<(), ManagerError> {
    match expected {
        Some(expected) if expected != record.generation => Err(ManagerError::Generation {
            name: record.name.to_string(),
            expected,
            actual: record.generation,
        }),
        _ => Ok(()),
    }
}

fn set<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}
