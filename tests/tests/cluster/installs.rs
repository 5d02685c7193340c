//! The chart with what administrators have: cert-manager, the Prometheus operator, a claim that all nodes share.

use std::{
    collections::BTreeSet,
    fs, iter,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{capture_file, wait};
use serde_json::{Value, json};

use crate::{
    captures::{files, is_capture_file, named, pair},
    cert_manager::CertManager,
    lab::{Lab, NAMESPACE, PATIENCE, RELEASE, written},
    web::ask,
    workload::filter,
};

/// All daemons are replaced at once.
const QUICKLY: &str = "daemon.maxUnavailable=2";

pub(crate) fn certificates_of_cert_manager_are_waited_for_and_taken_again_without_a_restart(
    lab: &Lab,
) -> Result<()> {
    let manager = CertManager::install(lab)?;
    remove_release(lab)?;
    let secrets = thread::scope(|scope| {
        // Helm waits for pods, and pods for the Secrets.
        let helm = scope.spawn(|| lab.install(&["certificates.source=cert-manager"]));
        let secrets = wait::within(PATIENCE, "the Certificates of the chart", || {
            let issued = manager.issue()?;
            Ok((!issued.is_empty()).then_some(issued))
        });
        let installed = helm.join();
        let secrets = secrets?;
        installed.map_err(|_| anyhow::anyhow!("installing panicked"))??;
        Ok::<_, anyhow::Error>(secrets)
    })?;
    capture_a_talk(lab, "first")?;

    let before = pods(lab)?;
    manager.issue()?;
    for (component, port) in [("daemon", 8080), ("coordinator", 9443)] {
        let name = format!("capture-{component}-tls");
        ensure!(secrets.contains(&name), "{name} is not among {secrets:?}");
        let decoded = "go-template={{index .data \"tls.crt\" | base64decode}}";
        let words = ["-n", NAMESPACE, "get", "secret", &name, "-o", decoded];
        let new = lab.cluster.kubectl(&words)?;
        for address in addresses(lab, component)? {
            let what = format!("the new certificate of {component} at {address}");
            wait::within(PATIENCE, &what, || {
                let served = served(lab, &format!("{address}:{port}"))?;
                Ok((served.trim() == new.trim()).then_some(()))
            })?;
        }
    }
    capture_a_talk(lab, "second")?;
    let after = pods(lab)?;
    ensure!(before == after, "restarted: {before:?} became {after:?}");

    lab.clean()?;
    remove_release(lab)?;
    let words = ["-n", NAMESPACE, "delete", "secret"];
    let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
    lab.cluster
        .kubectl(&[&words[..], &names].concat())
        .map(drop)
}

pub(crate) fn prometheus_finds_every_daemon_and_coordinator_by_the_service_monitor(
    lab: &Lab,
) -> Result<()> {
    lab.define("monitoring.coreos.com", "ServiceMonitor")?;
    let values = ["serviceMonitor.enabled=true", "daemon.metrics.expose=true"];
    lab.install(&[&values[..], &[QUICKLY]].concat())?;
    let words = [
        "-n",
        NAMESPACE,
        "get",
        "servicemonitors.monitoring.coreos.com",
    ];
    let monitor = lab
        .cluster
        .kubectl_json(&[&words[..], &[RELEASE]].concat())?;
    let network = lab.cluster.network();
    let mut found = BTreeSet::new();
    for (address, path) in targets(lab, &monitor["spec"])? {
        let request = format!("GET {path} HTTP/1.1\r\n");
        let metrics = ask(&network, address, &request, b"")?;
        let component = match () {
            () if metrics.contains("\ncaptured_") => "daemon",
            () if metrics.contains("\ncapture_coordinator_") => "coordinator",
            () => anyhow::bail!("{address}{path} serves something else: {metrics}"),
        };
        ensure!(
            found.insert((component, address.ip().to_string())),
            "{address} is scraped twice"
        );
    }
    let mut expected = BTreeSet::new();
    for component in ["daemon", "coordinator"] {
        let of_pods = addresses(lab, component)?;
        expected.extend(iter::repeat(component).zip(of_pods));
    }
    ensure!(
        expected.len() == 4 && found == expected,
        "{found:?} instead of {expected:?}"
    );
    Ok(())
}

/// What Prometheus scrapes for a ServiceMonitor: the ports of that name of the Services that it selects in its own
/// namespace, as their Endpoints have them.
fn targets(lab: &Lab, monitor: &Value) -> Result<Vec<(SocketAddr, String)>> {
    ensure!(monitor["namespaceSelector"].is_null(), "{monitor}");
    let labels: Vec<String> = monitor["selector"]["matchLabels"]
        .as_object()
        .context("no labels")?
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    let words = ["-n", NAMESPACE, "get", "services", "-l", &labels.join(",")];
    let services = lab.cluster.kubectl_json(&words)?;
    let mut targets = Vec::new();
    for service in array(&services["items"]) {
        let name = service["metadata"]["name"].as_str().context("no name")?;
        let words = ["-n", NAMESPACE, "get", "endpoints", name];
        let endpoints = lab.cluster.kubectl_json(&words)?;
        for scraped in array(&monitor["endpoints"]) {
            let scheme = scraped["scheme"].as_str().unwrap_or("http");
            ensure!(scheme == "http", "{scheme}");
            let path = scraped["path"].as_str().unwrap_or("/metrics");
            for subset in array(&endpoints["subsets"]) {
                for port in array(&subset["ports"]).filter(|port| port["name"] == scraped["port"]) {
                    for address in array(&subset["addresses"]) {
                        let ip = address["ip"].as_str().context("no address")?;
                        targets.push((format!("{ip}:{}", port["port"]).parse()?, path.to_owned()));
                    }
                }
            }
        }
    }
    Ok(targets)
}

pub(crate) fn nodes_that_share_a_claim_keep_their_files_apart_on_it(lab: &Lab) -> Result<()> {
    // A directory of the machine, which all nodes see: what a file server is elsewhere.
    let shared = lab.shared_directory()?;
    lab.cluster.apply(&volume(&shared).to_string())?;
    lab.cluster.apply(&claim().to_string())?;
    lab.install(&[&format!("daemon.storage.existingClaim={CLAIM}"), QUICKLY])?;
    let written = capture_a_talk(lab, "shared")?;
    let mut packets = 0;
    for node in lab.cluster.nodes() {
        let own = shared.join(&node.name).join("shared");
        let files = capture_files(&own)?;
        ensure!(!files.is_empty(), "no file is in {}", own.display());
        for file in files {
            packets += capture_file::read(&file)?.packets.len() as u64;
        }
        let elsewhere = files_on(lab, &node.name, "shared");
        ensure!(elsewhere.is_empty(), "on the node too: {elsewhere:?}");
    }
    ensure!(
        packets == written,
        "{packets} packets in files, {written} in ledgers"
    );
    Ok(())
}

const CLAIM: &str = "captures";

fn volume(shared: &Path) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": CLAIM},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": NAMESPACE, "name": CLAIM},
            "hostPath": {"path": shared, "type": "Directory"},
        },
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": CLAIM,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

fn capture_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_capture_file(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The files in the directory of a node's own disk, which may not exist.
fn files_on(lab: &Lab, node: &str, capture: &str) -> Vec<PathBuf> {
    files(lab, node, capture).unwrap_or_default()
}

/// Captures two pods of two nodes while they talk; all their packets are written, which are so many.
fn capture_a_talk(lab: &Lab, name: &str) -> Result<u64> {
    let (web, db) = pair(lab)?;
    let spec = json!({
        "podSelector": {"pods": [named(&web), named(&db)]},
        "filter": filter(),
        "duration": 600,
        "maxPackets": 100,
    });
    lab.capture(name, &spec)?;
    lab.wait_for_phase(name, "Running")?;
    lab.talk(&web, &db, 50)?;
    let ended = lab.wait_for_phase(name, "Completed")?;
    let written = written(&ended)?;
    ensure!(written == 200, "{written} of 200: {}", ended["status"]);
    Ok(written)
}

/// Removes the chart, if it is installed, and waits until its pods are gone.
fn remove_release(lab: &Lab) -> Result<()> {
    let label = format!("owner=helm,name={RELEASE}");
    let words = [
        "-n", NAMESPACE, "get", "secrets", "-l", &label, "-o", "name",
    ];
    if !lab.cluster.kubectl(&words)?.is_empty() {
        lab.helm.uninstall(&lab.cluster, RELEASE, NAMESPACE)?;
    }
    wait::within(PATIENCE, "all pods to end", || {
        let label = format!("app.kubernetes.io/instance={RELEASE}");
        Ok(lab.pods(NAMESPACE, &label)?.is_empty().then_some(()))
    })
}

/// The addresses of the pods of a component.
fn addresses(lab: &Lab, component: &str) -> Result<Vec<String>> {
    let pods = lab.pods(
        NAMESPACE,
        &format!("app.kubernetes.io/component={component}"),
    )?;
    let address = |pod: &Value| pod["status"]["podIP"].as_str().map(str::to_owned);
    let all: Option<Vec<String>> = pods.iter().map(address).collect();
    all.context("a pod without an address")
}

/// The chart's pods, and how often their containers were restarted.
fn pods(lab: &Lab) -> Result<BTreeSet<String>> {
    let pods = lab.pods(NAMESPACE, &format!("app.kubernetes.io/instance={RELEASE}"))?;
    let of = |pod: &Value| {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        format!("{} {restarts}", pod["metadata"]["uid"])
    };
    Ok(pods.iter().map(of).collect())
}

/// The certificate that a server shows, PEM.
fn served(lab: &Lab, address: &str) -> Result<String> {
    let network = lab.cluster.network();
    let output = Command::new("ip")
        .args(["netns", "exec", network.name(), "timeout", "10"])
        .args(["openssl", "s_client", "-connect", address])
        .stdin(Stdio::null())
        .output()
        .context("starting openssl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let begin = text.find("-----BEGIN CERTIFICATE-----");
    let end = text.find("-----END CERTIFICATE-----");
    let (begin, end) = begin
        .zip(end)
        .with_context(|| format!("{address}: {text}"))?;
    Ok(text[begin..end].to_owned() + "-----END CERTIFICATE-----")
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
