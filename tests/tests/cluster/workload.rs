//! Pods that talk to each other and count.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use capture_tests::wait;
use serde_json::{Value, json};

use crate::lab::{Lab, PATIENCE, SHOP, TALK_IMAGE, is_ready, number};

/// The port of the datagrams that are counted, as `capture-talk` has it.
pub(crate) const PORT: u16 = 7000;

/// A running pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) address: String,
}

impl Lab {
    /// A Deployment of pods that answer and count, on one node or on any; waits until all are ready.
    pub(crate) fn deploy(
        &self,
        app: &str,
        replicas: usize,
        node: Option<&str>,
    ) -> Result<Vec<Pod>> {
        let mut spec = json!({
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{"name": "talk", "image": TALK_IMAGE, "imagePullPolicy": "Never"}],
        });
        if let Some(node) = node {
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        }
        let manifest = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": app, "namespace": SHOP},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": {"metadata": {"labels": {"app": app}}, "spec": spec},
            },
        });
        self.cluster.apply(&manifest.to_string())?;
        self.wait_for_pods(app, replicas)
    }

    /// Waits until exactly so many pods run.
    pub(crate) fn wait_for_pods(&self, app: &str, count: usize) -> Result<Vec<Pod>> {
        wait::within(PATIENCE, &format!("{count} pods of {app}"), || {
            let pods = self.pods(SHOP, &format!("app={app}"))?;
            let ready: Vec<Pod> = pods.iter().filter(|pod| is_ready(pod)).map(of).collect();
            Ok((pods.len() == count && ready.len() == count).then_some(ready))
        })
    }

    pub(crate) fn scale(&self, app: &str, replicas: usize) -> Result<Vec<Pod>> {
        let (what, number) = (
            format!("deployment/{app}"),
            format!("--replicas={replicas}"),
        );
        self.cluster
            .kubectl(&["-n", SHOP, "scale", &what, &number])?;
        self.wait_for_pods(app, replicas)
    }

    /// Sends datagrams from one pod to another and waits for the answers. Returns how many packets that were, counted
    /// by the sender and the receiver alike.
    pub(crate) fn talk(&self, from: &Pod, to: &Pod, count: u64) -> Result<u64> {
        let number_of = format!("--count={count}");
        let words = [
            "-n",
            SHOP,
            "exec",
            &from.name,
            "--",
            "/capture-talk",
            "send",
        ];
        let text = self
            .cluster
            .kubectl(&[&words[..], &[&to.address, &number_of]].concat())?;
        let counts: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let (sent, received) = (number(&counts["sent"])?, number(&counts["received"])?);
        ensure!(
            sent == count && received == count && number(&counts["answered"])? == count,
            "the pods count differently: {text}"
        );
        Ok(sent + received)
    }
}

fn of(pod: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Pod {
        name: text(&pod["metadata"]["name"]),
        node: text(&pod["spec"]["nodeName"]),
        address: text(&pod["status"]["podIP"]),
    }
}

/// Only the datagrams that pods count, and their answers.
pub(crate) fn filter() -> String {
    let mut text = String::new();
    // The address families' own traffic (ARP, neighbour discovery) is nobody's to count.
    let _ = write!(text, "udp port {PORT}");
    text
}

/// A spec for the pods of an app by label.
pub(crate) fn of_app(app: &str, duration: u64) -> Value {
    json!({
        "podSelector": {
            "labelSelector": {"matchLabels": {"app": app}},
            "namespaces": [SHOP],
        },
        "filter": filter(),
        "duration": duration,
        "maxPackets": 1_000_000,
    })
}
