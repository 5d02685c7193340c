//! What is created in a cluster: the index template, and the policy that removes old documents.

use serde_json::{Value, json};

use super::server::Product;
use crate::documents;

/// Higher than that of templates that match everything.
const PRIORITY: u32 = 300;
/// An index is followed by the next at this size or age.
const ROLLOVER_SIZE: &str = "25gb";
const ROLLOVER_AGE: &str = "1d";

/// Where documents are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A data stream.
    DataStream,
    /// An alias of numbered indices, for servers without data streams.
    Alias,
}

/// The index template.
pub(super) fn template(index: &str, target: Target, product: Product, policy: bool) -> Value {
    let mut settings = json!({
        "index": {
            "codec": "best_compression",
            "mapping": {"total_fields": {"limit": 300}},
        }
    });
    if policy {
        match (product, target) {
            (Product::Elasticsearch, Target::DataStream) => {
                settings["index"]["lifecycle"] = json!({"name": index});
            }
            (Product::Elasticsearch, Target::Alias) => {
                settings["index"]["lifecycle"] = json!({"name": index, "rollover_alias": index});
            }
            (Product::OpenSearch, Target::Alias) => {
                settings["plugins"] = json!({"index_state_management": {"rollover_alias": index}});
            }
            // The policy names the indices that it is for.
            (Product::OpenSearch, Target::DataStream) => {}
        }
    }
    let mut template = json!({
        "index_patterns": [match target {
            Target::DataStream => index.to_owned(),
            Target::Alias => format!("{index}-*"),
        }],
        "priority": PRIORITY,
        "template": {"settings": settings, "mappings": documents::mapping()},
        "_meta": {"description": "documents of capture-export", "version": env!("CARGO_PKG_VERSION")},
    });
    if target == Target::DataStream {
        template["data_stream"] = json!({});
    }
    template
}

/// The first index behind an alias.
pub(super) fn first_index(index: &str) -> Value {
    json!({"aliases": {index: {"is_write_index": true}}})
}

/// The lifecycle policy: its path, and its content. Documents are removed after `keep`.
pub(super) fn policy(index: &str, product: Product, keep: &str) -> (String, Value) {
    match product {
        Product::Elasticsearch => (
            format!("/_ilm/policy/{index}"),
            json!({"policy": {"phases": {
                "hot": {"actions": {"rollover": {
                    "max_size": ROLLOVER_SIZE,
                    "max_age": ROLLOVER_AGE,
                }}},
                "delete": {"min_age": keep, "actions": {"delete": {}}},
            }}}),
        ),
        Product::OpenSearch => (
            format!("/_plugins/_ism/policies/{index}"),
            json!({"policy": {
                "description": format!("documents of capture-export, kept for {keep}"),
                "default_state": "written",
                "ism_template": [{"index_patterns": [index, format!("{index}-*")], "priority": PRIORITY}],
                "states": [
                    {
                        "name": "written",
                        "actions": [{"rollover": {
                            "min_size": ROLLOVER_SIZE,
                            "min_index_age": ROLLOVER_AGE,
                        }}],
                        "transitions": [{
                            "state_name": "removed",
                            "conditions": {"min_rollover_age": keep},
                        }],
                    },
                    {"name": "removed", "actions": [{"delete": {}}], "transitions": []},
                ],
            }}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Product, Target, policy, template};

    #[test]
    fn each_product_gets_its_own_kind_of_policy_and_template() {
        let ilm = template("c", Target::DataStream, Product::Elasticsearch, true);
        assert_eq!(
            ilm["template"]["settings"]["index"]["lifecycle"]["name"],
            "c"
        );
        assert!(ilm["data_stream"].is_object());
        assert_eq!(ilm["index_patterns"][0], "c");
        let plain = template("c", Target::Alias, Product::OpenSearch, false);
        assert!(plain.get("data_stream").is_none());
        assert!(plain["template"]["settings"].get("plugins").is_none());
        assert_eq!(plain["index_patterns"][0], "c-*");
        assert_eq!(plain["template"]["mappings"]["dynamic"], "strict");
        let (path, ism) = policy("c", Product::OpenSearch, "30d");
        assert_eq!(path, "/_plugins/_ism/policies/c");
        let condition = &ism["policy"]["states"][0]["transitions"][0]["conditions"];
        assert_eq!(condition["min_rollover_age"], "30d");
        let (path, ilm) = policy("c", Product::Elasticsearch, "30d");
        assert_eq!(path, "/_ilm/policy/c");
        assert_eq!(ilm["policy"]["phases"]["delete"]["min_age"], "30d");
    }
}
