//! The actions on a node.

use std::{collections::BTreeMap, time::Duration};

use capture_client::model::{Capture, Spec};

use super::{
    Link, NodeView, Run, View,
    namespaces::{LABEL_SINCE, since_label},
    spec::{
        Common, LABEL_EXPORT, LABEL_FIXED, LABEL_OFFSET, LABEL_PLAN, LABEL_PODS, LABEL_RUN,
        LABEL_UID, Wanted, wanted,
    },
};
use crate::request::Plan;

/// An action on a node.
#[derive(Debug, Clone)]
pub enum Action {
    /// Start the capture.
    Start {
        /// Its specification.
        spec: Spec,
        /// Its labels, by which it is recognised.
        labels: BTreeMap<String, String>,
    },
    /// Change the running capture.
    Update {
        /// The new values.
        spec: Spec,
        /// The new labels.
        labels: BTreeMap<String, String>,
        /// The changed fields, by their names in the API.
        paths: Vec<String>,
    },
    /// Delete the capture that has the name, keep its files, and start another.
    Replace {
        /// Its specification.
        spec: Spec,
        /// Its labels, by which it is recognised.
        labels: BTreeMap<String, String>,
    },
    /// End the capture.
    Stop,
    /// Delete the capture.
    Delete {
        /// Whether its files are kept.
        keep_files: bool,
    },
    /// List the files of the capture, which has ended.
    ListFiles,
}

impl Action {
    /// Its name, for events and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Update { .. } => "update",
            Self::Replace { .. } => "replace",
            Self::Stop => "stop",
            Self::Delete { .. } => "delete",
            Self::ListFiles => "list_files",
        }
    }
}

/// Whether a capture was started for the resource with this uid.
pub(super) fn is_of(capture: &Capture, uid: &str) -> bool {
    capture.labels.get(LABEL_UID).is_some_and(|of| of == uid)
}

/// Whether a capture was started for some resource.
pub(super) fn is_of_a_resource(capture: &Capture) -> bool {
    capture.labels.contains_key(LABEL_UID)
}

/// The action needed on a node.
pub(super) fn of_node(
    view: &View<'_>,
    plan: &Plan,
    (run, common): (&Run, &Common),
    name: &str,
    node: &NodeView,
) -> Option<Action> {
    if node.link != Link::Ready {
        return None;
    }
    if let Some(fault) = &node.fault {
        let stands = fault.permanent && fault.run == run.digest;
        if stands || (!fault.permanent && view.now < fault.retry_at) {
            return None;
        }
    }
    let is_wanted = view.members.contains_key(name) && node.selected && !run.is_over(view.now);
    let of_all = (run, common);
    let begin = || {
        let before = node.capture.as_deref();
        let before = before.filter(|capture| is_of(capture, view.uid));
        let mut wanted = wanted(view, plan, of_all, name, run.elapsed(view.now), before);
        // Files of the resource's earlier captures stay: they are known by their time.
        if let Some(before) = before {
            let since = since_label(before);
            wanted.labels.insert(LABEL_SINCE.to_owned(), since);
        }
        wanted
    };
    let Some(capture) = &node.capture else {
        let Wanted { spec, labels } = is_wanted.then(begin)?;
        return Some(Action::Start { spec, labels });
    };
    let is_ours = is_of(capture, view.uid);
    let label = |key: &str| capture.labels.get(key).map_or("", String::as_str);
    if !is_ours {
        // A capture of an earlier resource of this name; other captures are not touched.
        return (is_wanted && is_of_a_resource(capture)).then(|| {
            let Wanted { spec, labels } = begin();
            Action::Replace { spec, labels }
        });
    }
    if capture.has_ended() {
        if label(LABEL_RUN) != run.digest {
            return is_wanted.then(|| {
                let Wanted { spec, labels } = begin();
                Action::Replace { spec, labels }
            });
        }
        return listing(plan, node);
    }
    if !node.selected {
        return Some(Action::Stop);
    }
    let offset = label(LABEL_OFFSET).parse().unwrap_or_default();
    let offset = Duration::from_secs(offset);
    let before = node.capture.as_deref();
    let Wanted { spec, mut labels } = wanted(view, plan, of_all, name, offset, before);
    if let Some(since) = capture.labels.get(LABEL_SINCE) {
        labels.insert(LABEL_SINCE.to_owned(), since.clone());
    }
    if label(LABEL_FIXED) != labels[LABEL_FIXED] {
        let Wanted { spec, labels } = is_wanted.then(begin)?;
        return Some(Action::Replace { spec, labels });
    }
    let mut paths = Vec::new();
    if label(LABEL_PLAN) != labels[LABEL_PLAN] {
        paths.extend([
            "filter",
            "targets",
            "ports",
            "limits.duration",
            "limits.packets",
        ]);
    }
    if label(LABEL_PODS) != labels[LABEL_PODS] {
        paths.push("pods");
    }
    if label(LABEL_EXPORT) != labels.get(LABEL_EXPORT).map_or("", String::as_str) {
        paths.push("export");
    }
    if paths.is_empty() && label(LABEL_RUN) == run.digest {
        return None;
    }
    paths.push("labels");
    let paths = paths.into_iter().map(str::to_owned).collect();
    Some(Action::Update {
        spec,
        labels,
        paths,
    })
}

/// What makes the files of a capture that has ended known.
pub(super) fn listing(plan: &Plan, node: &NodeView) -> Option<Action> {
    let is_listed = node.files.as_ref().is_some_and(|files| are_complete(files));
    (!is_listed && has_files(plan)).then_some(Action::ListFiles)
}

/// Whether the resource's captures have files.
pub(super) fn has_files(plan: &Plan) -> bool {
    !matches!(plan.output, capture_client::model::Output::Stdout {})
}

/// Whether all files are complete and have checksums.
pub(super) fn are_complete(files: &[capture_client::model::File]) -> bool {
    files
        .iter()
        .all(|file| file.is_whole() && file.digest.is_some())
}
