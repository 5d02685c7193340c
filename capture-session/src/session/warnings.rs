//! Warnings for the user of a running capture: each condition once, as long as it holds.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Listed texts; further conditions are counted.
const MOST_TEXTS: usize = 16;

/// Names in one text; further names are counted.
const MOST_NAMES: usize = 8;

/// Warnings that are logged one by one, so that thousands of interfaces do not fill the log.
const MOST_LOGGED: usize = 20;

/// The subject of a warning, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Interfaces that are selected and could not be joined.
    NotJoined,
    /// Interfaces that are selected and carry neither Ethernet nor IP packets.
    NotRecordable,
    /// Hooks where other programs run before the recorder, or where it was detached.
    Position,
    /// Interfaces that could not be switched to promiscuous mode.
    NotPromiscuous,
    /// Interfaces whose queueing discipline dropped packets.
    QueueDrops,
}

/// The conditions that hold, by topic and by the thing concerned.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    conditions: BTreeMap<(Topic, String), String>,
    logged: usize,
}

impl Warnings {
    fn state(&self) -> MutexGuard<'_, State> {
        // Conditions are added and removed whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a condition of a named thing, such as an interface, and logs it.
    pub(super) fn set(&self, topic: Topic, name: &str, condition: String) {
        let mut state = self.state();
        let before = state
            .conditions
            .insert((topic, name.to_owned()), condition.clone());
        if before.as_ref() == Some(&condition) {
            return;
        }
        state.logged += 1;
        match state.logged {
            ..MOST_LOGGED => tracing::warn!("{name}: {condition}"),
            MOST_LOGGED => tracing::warn!(
                "{name}: {condition} (further warnings are not logged; the capture lists them)"
            ),
            _ => {}
        }
    }

    /// Clears a condition; returns `true` if it held.
    pub(super) fn clear(&self, topic: Topic, name: &str) -> bool {
        let key = (topic, name.to_owned());
        self.state().conditions.remove(&key).is_some()
    }

    /// The conditions that hold now, in sentences; things with the same condition share one.
    pub(super) fn list(&self) -> Vec<String> {
        let state = self.state();
        let mut grouped: BTreeMap<(Topic, &str), Vec<&str>> = BTreeMap::new();
        for ((topic, name), condition) in &state.conditions {
            grouped.entry((*topic, condition)).or_default().push(name);
        }
        let total = grouped.len();
        let mut texts: Vec<String> = grouped
            .iter()
            .take(MOST_TEXTS)
            .map(|((_, condition), names)| text(names, condition))
            .collect();
        if total > MOST_TEXTS {
            texts.push(format!("{} more warnings", total - MOST_TEXTS));
        }
        texts
    }
}

fn text(names: &[&str], condition: &str) -> String {
    let mut text = names
        .iter()
        .take(MOST_NAMES)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST_NAMES {
        // Writing to a string does not fail.
        let _ = write!(text, " and {} more", names.len() - MOST_NAMES);
    }
    let _ = write!(text, ": {condition}");
    text
}

#[cfg(test)]
mod tests {
    use super::{MOST_TEXTS, Topic, Warnings};

    #[test]
    fn a_condition_is_listed_as_long_as_it_holds_and_names_share_a_sentence() {
        let warnings = Warnings::default();
        for number in 0..51 {
            let name = format!("interface veth{number:02}");
            warnings.set(Topic::NotJoined, &name, "too many open files".to_owned());
        }
        warnings.set(
            Topic::Position,
            "interface eth0 ingress",
            "behind".to_owned(),
        );
        let listed = warnings.list();
        assert_eq!(listed.len(), 2, "{listed:?}");
        assert!(
            listed[0].starts_with("interface veth00, interface veth01, ")
                && listed[0].ends_with(" and 43 more: too many open files"),
            "{listed:?}"
        );
        assert_eq!(listed[1], "interface eth0 ingress: behind");
        assert!(warnings.clear(Topic::Position, "interface eth0 ingress"));
        assert!(!warnings.clear(Topic::Position, "interface eth0 ingress"));
        assert_eq!(warnings.list().len(), 1);
    }

    #[test]
    fn the_list_is_bounded() {
        let warnings = Warnings::default();
        for number in 0..1000 {
            warnings.set(
                Topic::QueueDrops,
                &format!("eth{number}"),
                format!("{number}"),
            );
        }
        let listed = warnings.list();
        assert_eq!(listed.len(), MOST_TEXTS + 1);
        assert_eq!(listed[MOST_TEXTS], "984 more warnings");
    }
}
