//! What the daemons and the accounts may do.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE};

/// CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF by their numbers in linux/capability.h.
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | 1 << 39;

pub(crate) fn the_daemons_hold_three_capabilities_and_no_token(lab: &Lab) -> Result<()> {
    for node in lab.cluster.nodes() {
        let script = "cat /proc/$(pidof -s captured)/status";
        let status = lab.cluster.run_in(node, &["sh", "-c", script])?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
                .map(str::to_owned)
                .with_context(|| format!("no {name} in {status}"))
        };
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            let held = u64::from_str_radix(&field(set)?, 16)?;
            ensure!(held == CAPABILITIES, "{set} {held:x} on {}", node.name);
        }
        ensure!(field("NoNewPrivs:")? == "1", "{status}");
        ensure!(field("Seccomp:")? == "2", "no seccomp filter: {status}");
        let root = "cat /proc/$(pidof -s captured)/mounts";
        let mounts = lab.cluster.run_in(node, &["sh", "-c", root])?;
        let of = |path: &str| {
            let mut lines = mounts.lines();
            lines
                .find(|line| line.split(' ').nth(1) == Some(path))
                .map(str::to_owned)
        };
        let root = of("/").context("no root")?;
        ensure!(root.contains(" ro,"), "the root can be written: {root}");
        ensure!(!mounts.contains("serviceaccount"), "a token: {mounts}");
        let written: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|path| path.starts_with("/var") || path.starts_with("/run"))
            .collect();
        let expected = [
            "/run/captured",
            "/var/lib/captured",
            "/var/lib/packet-captures",
        ];
        let mut written = written;
        written.sort_unstable();
        ensure!(written == expected, "mounted: {written:?}");
    }
    Ok(())
}

/// What an account asks for: verb, API group, resource with its subresource and name, namespace.
type Wish = (&'static str, &'static str, &'static str, &'static str);

/// Everything that the coordinator does.
const NEEDED: &[Wish] = &[
    ("list", CAPTURES, "packetcaptureconfigs", ""),
    ("watch", CAPTURES, "packetcaptureconfigs", ""),
    ("create", CAPTURES, "packetcaptureconfigs", ""),
    ("patch", CAPTURES, "packetcaptureconfigs", ""),
    ("delete", CAPTURES, "packetcaptureconfigs", ""),
    ("patch", CAPTURES, "packetcaptureconfigs/status", ""),
    ("list", "", "pods", ""),
    ("watch", "", "pods", ""),
    ("watch", "", "nodes", ""),
    ("create", "events.k8s.io", "events", "default"),
    ("create", "authentication.k8s.io", "tokenreviews", ""),
    ("create", "authorization.k8s.io", "subjectaccessreviews", ""),
    ("create", "", "configmaps", NAMESPACE),
    ("patch", "", "configmaps", NAMESPACE),
    ("create", "coordination.k8s.io", "leases", NAMESPACE),
    (
        "update",
        "coordination.k8s.io",
        "leases=capture-coordinator",
        NAMESPACE,
    ),
];

/// What neither the coordinator nor a daemon may do.
const FORBIDDEN: &[Wish] = &[
    ("*", "*", "*", ""),
    ("get", "", "secrets", ""),
    ("get", "", "secrets", NAMESPACE),
    ("list", "", "secrets", NAMESPACE),
    ("create", "", "pods", NAMESPACE),
    ("create", "", "pods/exec", NAMESPACE),
    ("delete", "", "pods", ""),
    ("patch", "", "nodes", ""),
    ("get", "", "nodes/proxy", ""),
    ("update", CAPTURES, "packetcaptureconfigs", ""),
    ("deletecollection", CAPTURES, "packetcaptureconfigs", ""),
    ("create", "", "configmaps", "default"),
    ("delete", "", "configmaps", NAMESPACE),
    ("update", "coordination.k8s.io", "leases=another", NAMESPACE),
    (
        "create",
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        "",
    ),
    ("impersonate", "", "users", ""),
];

const CAPTURES: &str = "networking.packet.io";

/// Which of the wishes of an account in the chart's namespace the API server would grant.
fn granted(lab: &Lab, account: &str, wishes: &[Wish]) -> Result<Vec<bool>> {
    let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let reviews: Vec<Value> = wishes
        .iter()
        .map(|(verb, group, resource, namespace)| {
            let (resource, name) = resource.split_once('=').unwrap_or((resource, ""));
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user,
                    "groups": ["system:serviceaccounts", "system:authenticated"],
                    "resourceAttributes": {
                        "verb": verb,
                        "group": group,
                        "resource": resource,
                        "subresource": subresource,
                        "name": name,
                        "namespace": namespace,
                    },
                },
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews});
    let text = lab.cluster.create(&list.to_string())?;
    let answers = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let answers: Vec<Value> = answers.collect::<Result<_, _>>()?;
    ensure!(answers.len() == wishes.len(), "{text}");
    Ok(answers
        .iter()
        .map(|answer| answer["status"]["allowed"] == true)
        .collect())
}

pub(crate) fn service_accounts_may_do_what_they_need_and_nothing_else(lab: &Lab) -> Result<()> {
    let coordinator = "capture-coordinator";
    for (wish, granted) in NEEDED.iter().zip(granted(lab, coordinator, NEEDED)?) {
        ensure!(granted, "the coordinator lacks {wish:?}");
    }
    for (wish, granted) in FORBIDDEN.iter().zip(granted(lab, coordinator, FORBIDDEN)?) {
        ensure!(!granted, "the coordinator may {wish:?}");
    }
    let nothing = [FORBIDDEN, NEEDED].concat();
    for (wish, granted) in nothing
        .iter()
        .zip(granted(lab, "capture-daemon", &nothing)?)
    {
        ensure!(!granted, "a daemon may {wish:?}");
    }
    Ok(())
}
