//! Users of the cluster: `kubectl capture` from outside it, with the rights of the chart's roles and no others.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{capture_file, recorder, wait};
use serde_json::{Value, json};

use crate::{
    captures::pair,
    lab::{Lab, NAMESPACE, PATIENCE, SHOP},
    workload::filter,
};

/// The Role that lets a user read the pods whose packets they want.
const READS_PODS: &str = "reads-pods";

/// A user with a token, and a configuration of kubectl that has nothing else.
struct User<'a> {
    lab: &'a Lab,
    name: &'static str,
    configuration: PathBuf,
}

impl<'a> User<'a> {
    /// A user with a ClusterRole of the chart and the right to connect.
    fn new(lab: &'a Lab, name: &'static str, role: &str) -> Result<Self> {
        let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": SHOP}]);
        let rbac = "rbac.authorization.k8s.io";
        for object in [
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": SHOP},
            }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
                "subjects": subject,
            }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "capture-user"},
                "subjects": subject,
            }),
        ] {
            lab.cluster.apply(&object.to_string())?;
        }
        let text = fs::read_to_string(lab.cluster.kubeconfig())?;
        let mut configuration: Value = serde_json::from_str(&text)?;
        configuration["users"][0]["user"] = json!({"token": token(lab, name)?});
        let path = lab.cluster.directory().join(format!("{name}.kubeconfig"));
        fs::write(&path, configuration.to_string())?;
        Ok(Self {
            lab,
            name,
            configuration: path,
        })
    }

    /// Lets the user read the pods of the shop.
    fn may_read_pods(&self) -> Result<()> {
        let words = ["-n", SHOP, "create"];
        let role = ["role", READS_PODS, "--verb=get", "--resource=pods"];
        self.lab.cluster.kubectl(&[&words[..], &role].concat())?;
        let account = format!("--serviceaccount={SHOP}:{}", self.name);
        let role = format!("--role={READS_PODS}");
        let binding = ["rolebinding", READS_PODS, &role, &account];
        self.lab.cluster.kubectl(&[&words[..], &binding].concat())?;
        Ok(())
    }

    /// Runs `kubectl capture`.
    fn capture(&self, words: &[&str]) -> Result<Output> {
        let assets = env::var_os("CAPTURE_TEST_CLUSTER_ASSETS").context("no assets")?;
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([assets.into()].into_iter().chain(env::split_paths(&path)))?;
        Command::new(recorder::program()?.with_file_name("capturectl"))
            .arg0("kubectl-capture")
            .args(words)
            .arg("--kubeconfig")
            .arg(&self.configuration)
            .env("PATH", path)
            .env("HOME", self.lab.cluster.directory())
            .output()
            .with_context(|| format!("starting kubectl capture {words:?}"))
    }

    fn does(&self, words: &[&str]) -> Result<String> {
        let output = self.capture(words)?;
        let said = said(&output);
        ensure!(output.status.success(), "{}: {words:?}: {said}", self.name);
        Ok(said)
    }

    fn may_not(&self, words: &[&str], because: &str) -> Result<()> {
        let output = self.capture(words)?;
        let said = said(&output);
        ensure!(!output.status.success(), "{}: {words:?}: {said}", self.name);
        ensure!(said.contains(because), "{}: {words:?}: {said}", self.name);
        Ok(())
    }

    fn remove(self) -> Result<()> {
        let kubectl = |words: &[&str]| self.lab.cluster.kubectl(words);
        kubectl(&["delete", "clusterrolebinding", self.name])?;
        kubectl(&["-n", NAMESPACE, "delete", "rolebinding", self.name])?;
        kubectl(&["-n", SHOP, "delete", "serviceaccount", self.name]).map(drop)
    }
}

fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// The token that the controllers of Kubernetes 1.20 make for each service account.
fn token(lab: &Lab, account: &str) -> Result<String> {
    let words = ["-n", SHOP, "get", "serviceaccount", account];
    let secret = wait::within(PATIENCE, "the account's token", || {
        let account = lab.cluster.kubectl_json(&words)?;
        Ok(account["secrets"][0]["name"].as_str().map(str::to_owned))
    })?;
    let template = "go-template={{.data.token | base64decode}}";
    let words = ["-n", SHOP, "get", "secret", &secret, "-o", template];
    lab.cluster.kubectl(&words)
}

pub(crate) fn users_capture_and_pull_through_kubectl_what_their_roles_permit(
    lab: &Lab,
) -> Result<()> {
    let (web, db) = pair(lab)?;
    let alice = User::new(lab, "alice", "capture-user")?;
    let bob = User::new(lab, "bob", "capture-viewer")?;
    let carol = User::new(lab, "carol", "capture-user")?;
    alice.may_read_pods()?;

    // Each datagram and each answer passes the interface of the pod.
    let most = (2 * 150).to_string();
    let selection = ["--selector", "app=web", "-n", SHOP, "--filter", &filter()];
    let start = [
        "start",
        "users",
        "--duration",
        "10m",
        "--max-packets",
        &most,
    ];
    alice.does(&[&start[..], &selection].concat())?;
    lab.wait_for_phase("users", "Running")?;
    let counted = lab.talk(&web, &db, 150)?;
    lab.wait_for_phase("users", "Completed")?;

    let directory = lab.cluster.directory();
    let pulled = directory.join("users.pcapng");
    let pull = ["pull", "users", "-w", &pulled.display().to_string()];
    bob.may_not(&pull, "files")?;
    // The right to the files of captures is none to the packets of pods.
    carol.may_not(&pull, "pods")?;
    ensure!(!pulled.exists(), "{} was written", pulled.display());
    alice.does(&pull)?;
    let packets = capture_file::read(&pulled)?.packets.len() as u64;
    ensure!(packets == counted, "{packets} of {counted} packets");
    fs::remove_file(&pulled)?;

    for user in [&alice, &bob, &carol] {
        let status = user.does(&["status"])?;
        ensure!(status.contains("users"), "{}: {status}", user.name);
        ensure!(status.contains("node1"), "{}: {status}", user.name);
    }
    bob.may_not(&["rm", "users"], "forbidden")?;
    alice.does(&["rm", "users", "--files"])?;

    let words = ["-n", SHOP, "delete", "role,rolebinding", READS_PODS];
    lab.cluster.kubectl(&words)?;
    for user in [alice, bob, carol] {
        user.remove()?;
    }
    Ok(())
}
