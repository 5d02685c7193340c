//! CPU and memory that nodes and pods use, from the answers of metrics.k8s.io.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::quantity;
use crate::cli::tables;

/// What a node or pod uses, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Used {
    /// Cores.
    pub(super) cpu: Option<f64>,
    /// Bytes.
    pub(super) memory: Option<f64>,
}

impl Used {
    /// Of an object with quantities for `cpu` and `memory`.
    pub(super) fn of(object: &Value) -> Self {
        let of = |name: &str| object[name].as_str().and_then(quantity::parse);
        Self {
            cpu: of("cpu"),
            memory: of("memory"),
        }
    }

    /// The sum; what is unknown of one is unknown of both.
    fn and(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            cpu: sum(self.cpu, other.cpu),
            memory: sum(self.memory, other.memory),
        }
    }

    /// CPU and memory as text, with the share of a whole where that is known.
    pub(super) fn cells(self, whole: Self) -> [String; 2] {
        let cpu = self
            .cpu
            // Rounded up, as kubectl does; but not for what the representation of a number adds.
            .map(|cores| format!("{:.0}m", (cores * 1000.0 - 1e-6).ceil().max(0.0)));
        let memory = self.memory.map(|bytes| tables::size(bytes as u64));
        let with_share = |text: Option<String>, used: Option<f64>, whole: Option<f64>| {
            let text = text.unwrap_or_else(|| "-".to_owned());
            match (used, whole) {
                (Some(used), Some(whole)) if whole > 0.0 => {
                    format!("{text} ({:.0}%)", used / whole * 100.0)
                }
                _ => text,
            }
        };
        [
            with_share(cpu, self.cpu, whole.cpu),
            with_share(memory, self.memory, whole.memory),
        ]
    }
}

/// What each node uses, by name, of a NodeMetricsList.
pub(super) fn of_nodes(list: &Value) -> BTreeMap<String, Used> {
    by_name(list, |one| Used::of(&one["usage"]))
}

/// What each pod uses, by name, of a PodMetricsList: all its containers together.
pub(super) fn of_pods(list: &Value) -> BTreeMap<String, Used> {
    by_name(list, |one| {
        let containers = one["containers"].as_array().into_iter().flatten();
        let used = containers.map(|container| Used::of(&container["usage"]));
        used.reduce(Used::and).unwrap_or_default()
    })
}

fn by_name(list: &Value, used: impl Fn(&Value) -> Used) -> BTreeMap<String, Used> {
    let items = list["items"].as_array().into_iter().flatten();
    let named = items.filter_map(|one| {
        let name = one["metadata"]["name"].as_str()?;
        Some((name.to_owned(), used(one)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_metrics_k8s_io_are_read_and_shown_with_their_share() {
        // As metrics-server 0.6 answers.
        let nodes = json!({
            "kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1",
            "items": [
                { "metadata": { "name": "n1" }, "timestamp": "2026-01-02T03:04:05Z", "window": "20.1s",
                  "usage": { "cpu": "250123456n", "memory": "1048576Ki" } },
                { "metadata": { "name": "n2" }, "usage": { "cpu": "broken" } },
            ],
        });
        let nodes = of_nodes(&nodes);
        let whole = Used::of(&json!({ "cpu": "4", "memory": "4Gi", "pods": "110" }));
        assert_eq!(nodes["n1"].cells(whole), ["251m (6%)", "1.0 GiB (25%)"]);
        assert_eq!(nodes["n2"].cells(whole), ["-", "-"]);

        let pods = json!({ "kind": "PodMetricsList", "items": [
            { "metadata": { "name": "d1", "namespace": "capture-system" }, "containers": [
                { "name": "captured", "usage": { "cpu": "3m", "memory": "20Mi" } },
                { "name": "side", "usage": { "cpu": "500u", "memory": "4Mi" } },
            ] },
            { "metadata": { "name": "d2" }, "containers": [] },
        ] });
        let pods = of_pods(&pods);
        assert_eq!(pods["d1"].cells(Used::default()), ["4m", "24.0 MiB"]);
        assert_eq!(pods["d2"], Used::default());
        assert!(of_nodes(&json!("no list")).is_empty());
    }
}
