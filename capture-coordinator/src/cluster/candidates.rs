//! Which resources may select a pod: a change of a pod does not walk all resources.

use std::collections::{BTreeSet, HashMap};

use kube::core::Expression;

use super::{Pod, PodKey};
use crate::request::Selection;

type Names = BTreeSet<String>;

/// Names of resources, by what a pod must have for them to select it.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_name: HashMap<PodKey, Names>,
    /// By the key of a label, and its value.
    by_label: HashMap<String, HashMap<String, Names>>,
    /// Any pod may be selected.
    any: Names,
}

/// What a selection requires of the labels of its pods: one of these values.
fn required(selection: &Selection) -> Option<(String, BTreeSet<String>)> {
    let (selector, _) = selection.labels.as_ref()?;
    selector
        .clone()
        .into_iter()
        .find_map(|expression| match expression {
            Expression::Equal(key, value) => Some((key, BTreeSet::from([value]))),
            Expression::In(key, values) => Some((key, values)),
            _ => None,
        })
}

impl Candidates {
    pub(super) fn add(&mut self, name: &str, selection: &Selection) {
        for key in &selection.names {
            let names = self.by_name.entry(key.clone()).or_default();
            names.insert(name.to_owned());
        }
        match required(selection) {
            Some((key, values)) => {
                let by_value = self.by_label.entry(key).or_default();
                for value in values {
                    by_value.entry(value).or_default().insert(name.to_owned());
                }
            }
            None if selection.labels.is_some() => {
                self.any.insert(name.to_owned());
            }
            None => {}
        }
    }

    pub(super) fn remove(&mut self, name: &str, selection: &Selection) {
        for key in &selection.names {
            take(&mut self.by_name, key, name);
        }
        match required(selection) {
            Some((key, values)) => {
                let Some(by_value) = self.by_label.get_mut(&key) else {
                    return;
                };
                for value in values {
                    take(by_value, &value, name);
                }
                if by_value.is_empty() {
                    self.by_label.remove(&key);
                }
            }
            None => {
                self.any.remove(name);
            }
        }
    }

    /// The resources that may select a pod, and some that do not.
    pub(super) fn of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a String> {
        let named = self.by_name.get(&pod.key()).into_iter().flatten();
        let labelled = pod.labels.iter().filter_map(|(key, value)| {
            let by_value = self.by_label.get(key)?;
            by_value.get(value)
        });
        named.chain(labelled.flatten()).chain(&self.any)
    }
}

fn take<K: std::hash::Hash + Eq>(names: &mut HashMap<K, Names>, key: &K, name: &str) {
    if let Some(known) = names.get_mut(key) {
        known.remove(name);
        if known.is_empty() {
            names.remove(key);
        }
    }
}
