//! Tries the definition of `PacketCaptureConfig` on the part of a current API server that knows definitions:
//! `cargo xtask cluster definition`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use capture_tests::cluster::Definitions;
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};

const RESOURCES: &str = "/apis/networking.packet.io/v1/packetcaptureconfigs";
/// Objects that the tests of `capture-coordinator` also use.
const OBJECTS: &str = include_str!("../../../capture-coordinator/src/resource/objects.json");

/// Tries the definition on a server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Directory of its state and logs
    #[arg(long)]
    directory: PathBuf,
    /// The directory of `etcd`
    #[arg(long)]
    assets: PathBuf,
    /// The program `apiextensions-apiserver`
    #[arg(long)]
    server: PathBuf,
}

/// A spec, and what the server has to say of it.
#[derive(Debug, Deserialize)]
struct Object {
    what: String,
    spec: Value,
    /// The message of the only rule that it breaks.
    rule: Option<String>,
    /// The field that is against the schema.
    schema: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let server = Definitions::start(&arguments.directory, &arguments.assets, &arguments.server)?;
    let outcome = try_all(&server);
    server.end()?;
    outcome
}

fn try_all(server: &Definitions) -> Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let definition = fs::read_to_string(top.join("deploy/chart/files/crd.yaml"))?;
    server.define(&serde_yaml_ng::from_str(&definition)?)?;
    println!("the definition is accepted");
    let objects: Vec<Object> = serde_json::from_str(OBJECTS)?;
    let rules: BTreeSet<&str> = objects
        .iter()
        .filter_map(|one| one.rule.as_deref())
        .collect();
    let mut wrong = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let name = format!("object-{number}");
        let said = server.create(RESOURCES, &resource(&name, &object.spec))?;
        println!(
            "{}: {}",
            object.what,
            said.as_deref().unwrap_or("accepted").trim()
        );
        if let Err(error) = object.compare(said.as_deref(), &rules) {
            wrong.push(format!("{}: {error:#}", object.what));
        }
    }
    for (number, object) in objects.iter().enumerate() {
        if let Some(rule) = &object.rule
            && let Err(error) = try_update(server, &format!("update-{number}"), object, rule)
        {
            wrong.push(format!("update to {}: {error:#}", object.what));
        }
    }
    let manifests = manifests(&top.join("docs"))?;
    ensure!(!manifests.is_empty(), "no manifest is in docs");
    for manifest in &manifests {
        if let Some(error) = server.create(RESOURCES, manifest)? {
            wrong.push(format!("{manifest}: {error}"));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    println!(
        "{} objects and {} manifests of docs: as they should be",
        objects.len(),
        manifests.len()
    );
    Ok(())
}

impl Object {
    /// Fails unless the server said what it should, and nothing about other rules.
    fn compare(&self, said: Option<&str>, rules: &BTreeSet<&str>) -> Result<()> {
        let Some(said) = said else {
            ensure!(self.rule.is_none() && self.schema.is_none(), "accepted");
            return Ok(());
        };
        let broken: Vec<&str> = rules
            .iter()
            .copied()
            .filter(|rule| said.contains(rule))
            .collect();
        let expected: Vec<&str> = self.rule.as_deref().into_iter().collect();
        ensure!(broken == expected, "rejected otherwise: {said}");
        if self.rule.is_none() {
            let field = self
                .schema
                .as_deref()
                .with_context(|| format!("rejected: {said}"))?;
            ensure!(said.contains(field), "rejected otherwise: {said}");
        }
        Ok(())
    }
}

/// Rules are also checked when an object that obeyed them is changed.
fn try_update(server: &Definitions, name: &str, object: &Object, rule: &str) -> Result<()> {
    let before = resource(name, &json!({"targetIPs": ["192.0.2.7"]}));
    if let Some(said) = server.create(RESOURCES, &before)? {
        bail!("the object before is rejected: {said}");
    }
    let path = format!("{RESOURCES}/{name}");
    let mut after = server.get(&path)?;
    after["spec"] = object.spec.clone();
    match server.replace(&path, &after)? {
        Some(said) => {
            ensure!(said.contains(rule), "rejected otherwise: {said}");
            Ok(())
        }
        None => bail!("accepted"),
    }
}

fn resource(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.packet.io/v1",
        "kind": "PacketCaptureConfig",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// The manifests in the pages of a directory.
fn manifests(directory: &Path) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        for text in blocks(&fs::read_to_string(&path)?) {
            let manifest: Value = serde_yaml_ng::from_str(&text)
                .with_context(|| format!("in {}: {text}", path.display()))?;
            if manifest["kind"] == "PacketCaptureConfig" {
                found.push(manifest);
            }
        }
    }
    Ok(found)
}

/// The indented blocks that begin with `apiVersion:`, up to a blank line or the end of a here-document.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if !line
            .trim_start()
            .starts_with("apiVersion: networking.packet.io/")
        {
            continue;
        }
        let more = lines
            .by_ref()
            .take_while(|line| !["", "END", "---"].contains(&line.trim()));
        let block: Vec<&str> = std::iter::once(line).chain(more).collect();
        blocks.push(block.join("\n"));
    }
    blocks
}
