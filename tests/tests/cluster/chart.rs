//! The chart: rendered, upgraded, removed.

use anyhow::{Context as _, Result, ensure};
use capture_tests::{attached, cluster::Node, wait};
use serde_json::Value;

use crate::{
    captures::{named, pair},
    lab::{Lab, NAMESPACE, PATIENCE, RELEASE, SHOP},
    workload::filter,
};

const COORDINATOR: &str = "capture-coordinator";

fn render(lab: &Lab, options: &[&str]) -> Result<Result<String, String>> {
    let chart = lab.helm.chart().display().to_string();
    let words = ["template", RELEASE, &chart, "--namespace", NAMESPACE];
    let mut command = lab
        .helm
        .command(&lab.cluster, &[&words[..], options].concat());
    let output = command.env_remove("KUBECONFIG").output()?;
    Ok(if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

pub(crate) fn the_chart_is_valid_for_old_and_new_clusters_and_rejects_wrong_values(
    lab: &Lab,
) -> Result<()> {
    let rendered = |options: &[&str]| -> Result<String> {
        render(lab, options)?.map_err(|error| anyhow::anyhow!("{options:?}: {error}"))
    };
    let old = rendered(&["--kube-version", "1.20.0"])?;
    ensure!(!old.contains("x-kubernetes-validations"));
    // Without a cluster Helm knows the API versions that it was built with; this cluster has the old one alone.
    let words = ["-n", NAMESPACE, "get", "poddisruptionbudgets", COORDINATOR];
    lab.cluster.kubectl(&words)?;
    let new = rendered(&["--kube-version", "1.30.0", "--api-versions", "policy/v1"])?;
    ensure!(!new.contains("policy/v1beta1") && new.contains("x-kubernetes-validations"));
    for options in [
        "certificates.source=cert-manager",
        "certificates.source=existing",
        "networkPolicy.enabled=true",
        "coordinator.enabled=false",
        "serviceMonitor.enabled=true,daemon.metrics.expose=true",
    ] {
        rendered(&["--set", options])?;
    }
    for (wrong, part) in [
        ("daemon.resorces.limits=1", "resorces"),
        ("certificates.source=magic", "certificates.source"),
        ("config.LOG_LEVEL=LOUD", "LOG_LEVEL"),
        ("config.AGENT_PORT=web", "AGENT_PORT"),
        ("daemon.stateHostPath=relative", "stateHostPath"),
        ("serviceMonitor.enabled=true", "daemon.metrics.expose"),
    ] {
        match render(lab, &["--set", wrong])? {
            Ok(_) => anyhow::bail!("{wrong} is accepted"),
            Err(error) => ensure!(error.contains(part), "{wrong}: {error}"),
        }
    }
    // No secret may get into what is committed, and nobody asks for a NetworkPolicy by default.
    ensure!(!rendered(&["--set", "certificates.source=existing"])?.contains("kind: Secret"));
    ensure!(!new.contains("kind: NetworkPolicy"));
    Ok(())
}

pub(crate) fn an_upgrade_keeps_the_certificates_until_they_need_renewal(lab: &Lab) -> Result<()> {
    let secrets = || -> Result<Vec<Value>> {
        let names = [
            "capture-ca",
            "capture-daemon-tls",
            "capture-coordinator-tls",
        ];
        let read = |name: &str| {
            let words = ["-n", NAMESPACE, "get", "secret", name];
            Ok(lab.cluster.kubectl_json(&words)?["data"].clone())
        };
        names.into_iter().map(read).collect()
    };
    let before = secrets()?;
    // A change that starts no pod anew.
    lab.install(&["coordinator.podDisruptionBudget.enabled=false"])?;
    ensure!(secrets()? == before, "an upgrade made new certificates");
    lab.install(&[])?;
    ensure!(secrets()? == before, "an upgrade made new certificates");

    // In the last third of its time a certificate is renewed, by the same authority, and no pod is started anew.
    let pods = || {
        lab.cluster
            .kubectl(&["-n", NAMESPACE, "get", "pods", "-o", "name"])
    };
    let running = pods()?;
    let words = [
        "annotate",
        "secret",
        "capture-daemon-tls",
        "capture/valid-until=1",
        "--overwrite",
    ];
    lab.cluster
        .kubectl(&[&["-n", NAMESPACE][..], &words].concat())?;
    lab.install(&[])?;
    let after = secrets()?;
    ensure!(
        after[0] == before[0] && after[2] == before[2],
        "more was renewed than had to be"
    );
    ensure!(
        after[1]["tls.crt"] != before[1]["tls.crt"] && after[1]["ca.crt"] == before[1]["ca.crt"],
        "the certificate is the old one, or of another authority"
    );
    ensure!(pods()? == running, "pods were started anew");
    Ok(())
}

pub(crate) fn uninstalling_leaves_nothing_but_the_files(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    let spec = serde_json::json!({
        "podSelector": {"pods": [named(&web), named(&db)]},
        "filter": filter(),
        "duration": 600,
        "maxPackets": 100_000,
    });
    lab.capture("last", &spec)?;
    lab.wait_for_phase("last", "Running")?;
    lab.talk(&web, &db, 50)?;
    for node in lab.cluster.nodes() {
        ensure!(programs(lab, node)? > 0, "{} records nothing", node.name);
    }
    lab.helm.uninstall(&lab.cluster, RELEASE, NAMESPACE)?;
    wait::within(PATIENCE, "all pods to end", || {
        let pods = lab.pods(NAMESPACE, "app.kubernetes.io/instance=capture")?;
        Ok(pods.is_empty().then_some(()))
    })?;
    let label = "app.kubernetes.io/instance=capture";
    for kind in [
        "crds",
        "clusterroles",
        "clusterrolebindings",
        "priorityclasses",
        "all,secrets,configmaps,serviceaccounts,roles,rolebindings,leases",
    ] {
        let words = ["get", kind, "--all-namespaces", "-l", label, "-o", "name"];
        let left = lab.cluster.kubectl(&words)?;
        ensure!(left.is_empty(), "left behind: {left}");
    }
    for node in lab.cluster.nodes() {
        ensure!(
            programs(lab, node)? == 0,
            "programs stay at interfaces of {}",
            node.name
        );
        let files = lab.cluster.path_in(node, "/var/lib/packet-captures/last")?;
        let files = std::fs::read_dir(&files)
            .with_context(|| format!("the files are gone: {}", files.display()))?;
        ensure!(files.count() > 0, "no file on {}", node.name);
    }
    // The pods that were captured never noticed.
    lab.cluster
        .kubectl(&["-n", SHOP, "get", "pod", &web.name, &db.name])?;
    Ok(())
}

/// How many eBPF programs are attached to interfaces of a node. Nothing but the recorder attaches any here.
fn programs(lab: &Lab, node: &Node) -> Result<usize> {
    let network = lab.cluster.network_of(node);
    let links: Value = serde_json::from_str(&network.ip("-json link show")?)?;
    let mut count = 0;
    for link in links.as_array().context("no links")? {
        let name = link["ifname"].as_str().context("a link without a name")?;
        count += attached::programs(&network, name)?.len();
    }
    Ok(count)
}
