//! Changing a capture while it runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{Capture, Manager, ManagerError, Record, capture::Live};
use capture_types::{FilterSpec, InnerSpec, PodSelection, SinkName, TargetSet};

/// The changes; `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// A new expression.
    pub expression: Option<Option<String>>,
    /// A new filter on packets inside tunnels.
    pub inner: Option<Option<InnerSpec>>,
    /// New addresses and networks; `Some(None)` for any.
    pub hosts: Option<Option<Vec<IpNet>>>,
    /// New ports; `Some(None)` for any.
    pub ports: Option<Option<Vec<u16>>>,
    /// New excluded addresses and networks; `Some(None)` for none.
    pub not_hosts: Option<Option<Vec<IpNet>>>,
    /// New excluded ports; `Some(None)` for none.
    pub not_ports: Option<Option<Vec<u16>>>,
    /// New pods.
    pub pods: Option<PodSelection>,
    /// Stop this long after the start.
    pub duration: Option<Option<Duration>>,
    /// Stop after this many packets.
    pub packets: Option<Option<u64>>,
    /// Stop after this many bytes.
    pub bytes: Option<Option<u64>>,
    /// Stop at this time, UTC nanoseconds.
    pub deadline: Option<Option<u64>>,
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// New sinks of an exporter that get the files.
    pub export: Option<Vec<SinkName>>,
}

impl Update {
    /// Labels can be changed also after the capture has ended.
    fn is_only_labels(&self) -> bool {
        let labels = Self {
            labels: self.labels.clone(),
            ..Self::default()
        };
        *self == labels
    }
}

impl Manager {
    /// Changes a capture that has not ended, if it has the expected generation.
    ///
    /// Updates of a capture are serialized, from reading the record to saving it: the kernel always
    /// runs what the record says. The caller must not drop the future half-way.
    pub async fn update(
        &self,
        capture: &Arc<Capture>,
        expected: Option<u64>,
        update: Update,
    ) -> Result<Arc<Capture>, ManagerError> {
        let _turn = capture.updates.lock().await;
        let record = capture.record();
        let ended = || ManagerError::Ended {
            name: record.name.to_string(),
            state: record.state,
        };
        if let Some(expected) = expected
            && expected != record.generation
        {
            return Err(ManagerError::Generation {
                name: record.name.to_string(),
                expected,
                actual: record.generation,
            });
        }
        if !record.state.is_active() && !update.is_only_labels() {
            return Err(ended());
        }
        let old = &record.request.spec;
        if update.pods.is_some() && old.pods.is_none() {
            return Err(ManagerError::NoPods {
                name: record.name.to_string(),
            });
        }
        if update.export.is_some() && old.output.directory().is_none() {
            return Err(ManagerError::NoFiles {
                name: record.name.to_string(),
            });
        }
        let mut filter = old.filter.clone();
        set(&mut filter.expression, update.expression.clone());
        set(&mut filter.inner, update.inner.clone());
        let mut targets = old.targets.clone();
        set(&mut targets.hosts, update.hosts.clone());
        set(&mut targets.ports, update.ports.clone());
        set(&mut targets.not_hosts, update.not_hosts.clone());
        set(&mut targets.not_ports, update.not_ports.clone());
        let pods = update.pods.as_ref();
        let pods = pods.filter(|pods| old.pods.as_ref() != Some(*pods));
        if filter != old.filter || targets != old.targets || pods.is_some() {
            let live = capture.live().ok_or_else(ended)?;
            change_kernel(&live, &record, &filter, &targets, pods).await?;
        }
        let mut refused = None;
        capture.change_if(|record| {
            // It may have ended meanwhile.
            if !record.state.is_active() && !update.is_only_labels() {
                refused = Some(ManagerError::Ended {
                    name: record.name.to_string(),
                    state: record.state,
                });
                return false;
            }
            let request = &mut record.request;
            request.spec.filter = filter;
            request.spec.targets = targets;
            if let Some(pods) = &update.pods {
                request.spec.pods = Some(pods.clone());
            }
            set(&mut request.spec.export, update.export.clone());
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
            live.shared.set_packet_limit(limit);
        }
        if let (Some(sinks), Some(live)) = (update.export, capture.live()) {
            live.monitor.progress().set_export(sinks);
        }
        capture.limits_changed();
        self.inner.save(capture).await;
        self.inner.announce();
        Ok(Arc::clone(capture))
    }
}

/// Replaces the filter, the targets and the pods in the kernel: all of them, or none.
async fn change_kernel(
    live: &Live,
    record: &Record,
    filter: &FilterSpec,
    targets: &TargetSet,
    pods: Option<&PodSelection>,
) -> Result<(), ManagerError> {
    if let Some(pods) = pods {
        live.control.set_pods(pods.clone()).await?;
    }
    let changed = change_filter(live, record, filter, targets).await;
    if let (Err(_), Some(_), Some(old)) = (&changed, pods, &record.request.spec.pods)
        && let Err(error) = live.control.set_pods(old.clone()).await
    {
        tracing::error!(
            "capture {}: its pods could not be restored: {error}",
            record.name
        );
    }
    changed
}

/// Replaces the filter and the targets in the kernel: both, or none.
async fn change_filter(
    live: &Live,
    record: &Record,
    filter: &FilterSpec,
    targets: &TargetSet,
) -> Result<(), ManagerError> {
    let old = &record.request.spec;
    if *filter != old.filter {
        live.control.set_filter(filter.clone()).await?;
    }
    if *targets != old.targets
        && let Err(error) = live.control.set_targets(targets.clone()).await
    {
        if *filter != old.filter
            && let Err(error) = live.control.set_filter(old.filter.clone()).await
        {
            tracing::error!(
                "capture {}: its filter could not be restored: {error}",
                record.name
            );
        }
        return Err(error.into());
    }
    Ok(())
}

fn set<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}
