//! The CustomResourceDefinition, for servers that know CEL rules and for those that do not.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::PacketCaptureConfig;

/// Whether the definition has CEL rules, which API servers know since 1.25.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cel {
    /// With them.
    With,
    /// Without: servers before 1.23 refuse a definition that has them.
    Without,
}

/// The CustomResourceDefinition, to be printed as YAML.
///
/// # Errors
/// It cannot be written as JSON, which a test excludes.
pub fn definition(cel: Cel) -> Result<Value, serde_json::Error> {
    let mut definition = serde_json::to_value(PacketCaptureConfig::crd())?;
    tidy(&mut definition);
    // A server fills in nothing of a status.
    if let Some(status) = definition.pointer_mut(STATUS) {
        remove_defaults(status);
    }
    if cel == Cel::With {
        for rule in RULES {
            if let Some(schema) = definition.pointer_mut(rule.place) {
                let rules = json!([{ "rule": rule.rule, "message": rule.message }]);
                schema["x-kubernetes-validations"] = rules;
            }
        }
    }
    Ok(definition)
}

const STATUS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/status";

fn remove_defaults(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("default");
            fields.values_mut().for_each(remove_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A rule of the Common Expression Language, which the server checks. What it means is also checked in
/// [`crate::request`].
struct CelRule {
    place: &'static str,
    rule: &'static str,
    message: &'static str,
}

const RULES: [CelRule; 2] = [
    CelRule {
        place: "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
        rule: "(has(self.targetIPs) && size(self.targetIPs) > 0) || has(self.podSelector)",
        message: "give targetIPs, podSelector, or both: without them every packet of the cluster would match",
    },
    CelRule {
        place: "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/podSelector",
        rule: "(has(self.pods) && size(self.pods) > 0) || has(self.labelSelector) || \
               (has(self.namespaces) && size(self.namespaces) > 0)",
        message: "give pods, labelSelector or namespaces",
    },
];

/// Leaves out formats of numbers that no server knows, empty fields, and the `.0` of whole numbers.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let unknown = fields
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| format.starts_with("uint"));
            if unknown {
                fields.insert("format".to_owned(), Value::from("int64"));
            }
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0);
            // The bounds in the schema are far below what a float holds exactly.
            if let Some(whole) = whole.filter(|_| number.is_f64())
                && let Ok(whole) = format!("{whole:.0}").parse::<i64>()
            {
                *value = Value::from(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_what_existing_users_know() {
        let definition = definition(Cel::With).unwrap();
        assert_eq!(
            definition["metadata"]["name"],
            "packetcaptureconfigs.networking.packet.io"
        );
        assert_eq!(definition["spec"]["scope"], "Cluster");
        assert_eq!(definition["spec"]["names"]["shortNames"][0], "pcc");
        let version = &definition["spec"]["versions"][0];
        assert_eq!(version["name"], "v1");
        assert!(version["subresources"]["status"].is_object());
        let columns: Vec<_> = version["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            columns,
            ["Status", "Nodes", "Packets", "Lost", "Age", "Message"]
        );
        let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        for field in [
            "targetIPs",
            "podSelector",
            "targetPorts",
            "duration",
            "maxPackets",
            "outputFormat",
            "filter",
        ] {
            assert!(spec["properties"][field].is_object(), "{field}: {spec}");
        }
        assert_eq!(spec["properties"]["duration"]["default"], 60);
        assert_eq!(spec["properties"]["maxPackets"]["default"], 1000);
        assert_eq!(spec["properties"]["outputFormat"]["default"], "pcap");
        assert_eq!(spec["properties"]["targetPorts"]["items"]["maximum"], 65535);
        assert!(spec["required"].is_null(), "{}", spec["required"]);
        assert_eq!(
            spec["x-kubernetes-validations"].as_array().unwrap().len(),
            1
        );
        let pods = &spec["properties"]["podSelector"];
        assert_eq!(
            pods["x-kubernetes-validations"].as_array().unwrap().len(),
            1
        );
        let rotation = &spec["properties"]["rotation"]["properties"]["maxFileSize"];
        assert_eq!(rotation["x-kubernetes-int-or-string"], true, "{rotation}");
        assert!(rotation["anyOf"].is_null(), "{rotation}");
    }

    #[test]
    fn the_chart_has_this_definition() {
        let committed = include_str!("../../../deploy/chart/files/crd.yaml");
        let printed = serde_yaml_ng::to_string(&definition(Cel::With).unwrap()).unwrap();
        assert!(
            committed == printed,
            "write it: cargo run -p capture-coordinator -- crd > deploy/chart/files/crd.yaml"
        );
    }

    #[test]
    fn older_servers_get_a_definition_without_rules_or_unknown_formats() {
        let text = definition(Cel::Without).unwrap().to_string();
        assert!(!text.contains("x-kubernetes-validations"));
        assert!(!text.contains("\"uint"));
        assert!(!text.contains("\"$ref\""));
        let definition = definition(Cel::Without).unwrap();
        let status = definition.pointer(STATUS).unwrap().to_string();
        assert!(!status.contains("\"default\""), "{status}");
    }
}
