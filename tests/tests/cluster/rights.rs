//! What the daemons and the accounts may do.

use anyhow::{Context as _, Result, ensure};

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

pub(crate) fn service_accounts_may_do_what_they_need_and_nothing_else(lab: &Lab) -> Result<()> {
    let may = |account: &str, words: &[&str]| -> Result<bool> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
        let mut command = lab
            .cluster
            .kubectl_command(&[&["auth", "can-i", "--quiet", "--as", &user][..], words].concat());
        Ok(command.output()?.status.success())
    };
    let own = ["-n", NAMESPACE];
    let coordinator = "capture-coordinator";
    for needed in [
        &["watch", "packetcaptureconfigs"][..],
        &["patch", "packetcaptureconfigs"],
        &["patch", "packetcaptureconfigs", "--subresource=status"],
        &["list", "pods", "--all-namespaces"],
        &["watch", "nodes"],
        &["create", "events.events.k8s.io"],
        &["create", "tokenreviews.authentication.k8s.io"],
        &["create", "subjectaccessreviews.authorization.k8s.io"],
        &[own[0], own[1], "create", "configmaps"],
        &[own[0], own[1], "create", "leases.coordination.k8s.io"],
        &[
            own[0],
            own[1],
            "update",
            "leases.coordination.k8s.io/capture-coordinator",
        ],
    ] {
        ensure!(
            may(coordinator, needed)?,
            "the coordinator lacks {needed:?}"
        );
    }
    let forbidden = [
        &["get", "secrets", "--all-namespaces"][..],
        &["list", "secrets", "-n", NAMESPACE],
        &["get", "secrets", "-n", NAMESPACE],
        &["create", "pods", "-n", NAMESPACE],
        &["create", "pods", "--subresource=exec", "-n", NAMESPACE],
        &["delete", "pods", "--all-namespaces"],
        &["patch", "nodes"],
        &["get", "nodes", "--subresource=proxy"],
        &["create", "packetcaptureconfigs"],
        &["create", "configmaps", "-n", "default"],
        &["delete", "configmaps", "-n", NAMESPACE],
        &[
            "update",
            "leases.coordination.k8s.io/another",
            "-n",
            NAMESPACE,
        ],
        &["create", "clusterrolebindings.rbac.authorization.k8s.io"],
        &["impersonate", "users"],
        &["*", "*"],
    ];
    for words in forbidden {
        ensure!(!may(coordinator, words)?, "the coordinator may {words:?}");
    }
    for words in forbidden.iter().copied().chain([
        &["get", "packetcaptureconfigs"][..],
        &["list", "pods", "--all-namespaces"],
        &["get", "configmaps", "-n", NAMESPACE],
        &["get", "nodes"],
    ]) {
        ensure!(!may("capture-daemon", words)?, "a daemon may {words:?}");
    }
    Ok(())
}
