//! The rules of the definition, evaluated without an API server. `cargo xtask cluster definition` tries the same
//! objects on one.

use std::{collections::BTreeSet, slice};

use cel::{Context, Program, Value as CelValue};
use serde::Deserialize;
use serde_json::Value;

use super::{Cel, PacketCaptureConfigSpec, definition};
use crate::request::{FileDefaults, Plan};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// The spec of a resource, and what an API server that knows rules makes of it.
#[derive(Deserialize)]
struct Object {
    what: String,
    spec: Value,
    /// The message of the only rule that it breaks.
    rule: Option<String>,
    /// The field that is against the schema.
    schema: Option<String>,
}

/// A rule of the definition, and the way from the spec to the value that it is about.
struct Rule {
    way: Vec<String>,
    program: Program,
    message: String,
}

fn objects() -> Vec<Object> {
    serde_json::from_str(include_str!("objects.json")).unwrap()
}

/// Finds the rules where an API server does: anywhere in the schema.
fn rules(schema: &Value, way: &[String], found: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        found.push(Rule {
            way: way.to_vec(),
            program: Program::compile(rule["rule"].as_str().unwrap()).unwrap(),
            message: rule["message"].as_str().unwrap().to_owned(),
        });
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules(field, &[way, slice::from_ref(name)].concat(), found);
    }
}

fn all_rules() -> Vec<Rule> {
    let definition = definition(Cel::With).unwrap();
    let mut found = Vec::new();
    rules(definition.pointer(SPEC).unwrap(), &[], &mut found);
    let text = definition.to_string();
    let everywhere = text.matches("x-kubernetes-validations").count();
    assert_eq!(found.len(), everywhere, "rules in lists or in the status");
    found
}

impl Rule {
    /// Whether a spec is as the rule wants; nothing if the value that it is about is not there.
    fn holds(&self, spec: &Value) -> Option<bool> {
        let mut spec = spec.clone();
        remove_nulls(&mut spec);
        let about = self
            .way
            .iter()
            .try_fold(&spec, |value, name| value.get(name))?;
        let mut context = Context::default();
        context.add_variable("self", about).unwrap();
        match self.program.execute(&context) {
            Ok(CelValue::Bool(holds)) => Some(holds),
            other => panic!("{}: {about}: {other:?}", self.message),
        }
    }
}

/// For rules an API server does not tell a field that is null from one that is not there.
fn remove_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(remove_nulls);
    }
}

#[test]
fn each_rule_rejects_what_breaks_it_and_nothing_else() {
    let rules = all_rules();
    let (mut held, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for object in objects() {
        let mut messages = Vec::new();
        for rule in &rules {
            match rule.holds(&object.spec) {
                Some(true) => drop(held.insert(&rule.message)),
                Some(false) => {
                    broken.insert(&rule.message);
                    messages.push(rule.message.clone());
                }
                None => {}
            }
        }
        let expected: Vec<String> = object.rule.into_iter().collect();
        assert_eq!(messages, expected, "{}", object.what);
    }
    for rule in &rules {
        assert!(
            held.contains(&rule.message),
            "nothing obeys: {}",
            rule.message
        );
        assert!(
            broken.contains(&rule.message),
            "nothing breaks: {}",
            rule.message
        );
    }
}

#[test]
fn the_coordinator_rejects_what_rules_reject_and_accepts_what_they_accept() {
    for object in objects() {
        let spec = serde_json::from_value::<PacketCaptureConfigSpec>(object.spec);
        let verdict = match &spec {
            Ok(spec) => Plan::new(spec, FileDefaults::default())
                .map(drop)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // The schema is checked by every API server, so the coordinator need not know all of it.
        if object.schema.is_none() {
            assert_eq!(
                verdict.is_err(),
                object.rule.is_some(),
                "{}: {verdict:?}",
                object.what
            );
        }
    }
}
