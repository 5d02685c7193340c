//! etcd, the API server, the controllers and the scheduler, in the network namespace that joins the nodes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    keys::{Keys, Use},
    processes::Processes,
};
use crate::netns;

/// The control plane's address, and the addresses around it. They exist in the cluster's namespaces only.
pub(super) const ADDRESS: &str = "198.18.0.1";
const FIRST_SERVICE: &str = "10.96.0.1";
const SERVICES: &str = "10.96.0.0/16";
const DOMAIN: &str = "cluster.local";
const ETCD: &str = "http://127.0.0.1:2379";

/// The parts of the control plane.
#[derive(Debug)]
pub(super) struct ControlPlane<'a> {
    pub(super) run: &'a Path,
    pub(super) assets: &'a Path,
    pub(super) cluster: &'a str,
    pub(super) processes: &'a Processes,
    /// On the machine's loopback, for clients.
    pub(super) port: u16,
}

impl ControlPlane<'_> {
    /// The network namespace that joins the nodes.
    pub(super) fn namespace(cluster: &str) -> String {
        format!("{cluster}-lan")
    }

    /// Creates the certificates and client configurations of all parts.
    pub(super) fn certify(&self, keys: &Keys) -> Result<()> {
        let mut names = vec![
            ADDRESS.to_owned(),
            "127.0.0.1".to_owned(),
            FIRST_SERVICE.to_owned(),
            "localhost".to_owned(),
            "kubernetes".to_owned(),
        ];
        for suffix in ["default", "default.svc", "default.svc.cluster.local"] {
            names.push(format!("kubernetes.{suffix}"));
        }
        keys.sign("apiserver", "kube-apiserver", "", &Use::Server(&names))?;
        let masters = "system:masters";
        keys.sign("apiserver-kubelet", "apiserver", masters, &Use::Client)?;
        keys.sign("front-proxy", "front-proxy-client", "", &Use::Client)?;
        let outside = format!("127.0.0.1:{}", self.port);
        keys.configure("admin", "admin", masters, &outside)?;
        for part in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            keys.configure(
                part,
                &format!("system:{part}"),
                "",
                &format!("{ADDRESS}:6443"),
            )?;
        }
        Ok(())
    }

    /// Creates the network.
    pub(super) fn make_network(&self) -> Result<()> {
        let name = Self::namespace(self.cluster);
        netns::run("ip", &["netns", "add", &name])?;
        for step in [
            "link set lo up",
            "link add br0 type bridge",
            "addr add 198.18.0.1/24 dev br0",
            "link set br0 up",
        ] {
            ip_in(&name, step)?;
        }
        Ok(())
    }

    /// Starts the store and the API server, and makes the server reachable from the machine itself.
    pub(super) fn start_server(&self) -> Result<()> {
        let data = self.run.join("etcd").display().to_string();
        let peer = "http://127.0.0.1:2380";
        self.start(
            "etcd",
            &[
                ("--data-dir", data),
                ("--log-level", "warn".into()),
                ("--listen-client-urls", ETCD.into()),
                ("--advertise-client-urls", ETCD.into()),
                ("--listen-peer-urls", peer.into()),
                ("--initial-advertise-peer-urls", peer.into()),
                ("--initial-cluster", format!("default={peer}")),
                // The cluster is temporary: no need to wait for the disk.
                ("--unsafe-no-fsync", String::new()),
            ],
        )?;
        self.start_api_server()?;
        self.start_relay()
    }

    /// Starts only the API server, which a test may have stopped.
    pub(super) fn start_api_server(&self) -> Result<()> {
        let pki = |file: &str| self.run.join("pki").join(file).display().to_string();
        self.start(
            "kube-apiserver",
            &[
                ("--etcd-servers", ETCD.into()),
                ("--bind-address", "0.0.0.0".into()),
                ("--advertise-address", ADDRESS.into()),
                ("--secure-port", "6443".into()),
                ("--cert-dir", pki("")),
                ("--tls-cert-file", pki("apiserver.crt")),
                ("--tls-private-key-file", pki("apiserver.key")),
                ("--client-ca-file", pki("ca.crt")),
                ("--kubelet-client-certificate", pki("apiserver-kubelet.crt")),
                ("--kubelet-client-key", pki("apiserver-kubelet.key")),
                ("--kubelet-certificate-authority", pki("ca.crt")),
                ("--kubelet-preferred-address-types", "InternalIP".into()),
                ("--authorization-mode", "Node,RBAC".into()),
                ("--enable-admission-plugins", "NodeRestriction".into()),
                ("--allow-privileged", "true".into()),
                ("--requestheader-client-ca-file", pki("ca.crt")),
                ("--requestheader-allowed-names", "front-proxy-client".into()),
                ("--requestheader-username-headers", "X-Remote-User".into()),
                ("--requestheader-group-headers", "X-Remote-Group".into()),
                (
                    "--requestheader-extra-headers-prefix",
                    "X-Remote-Extra-".into(),
                ),
                ("--proxy-client-cert-file", pki("front-proxy.crt")),
                ("--proxy-client-key-file", pki("front-proxy.key")),
                (
                    "--service-account-issuer",
                    format!("https://kubernetes.default.svc.{DOMAIN}"),
                ),
                ("--service-account-key-file", pki("sa.pub")),
                ("--service-account-signing-key-file", pki("sa.key")),
                // There is no kube-proxy next to the server: it reaches pods at their own
                // addresses.
                ("--enable-aggregator-routing", "true".into()),
                ("--service-cluster-ip-range", SERVICES.into()),
                // Tokens that expire, as of Kubernetes 1.21.
                (
                    "--feature-gates",
                    "BoundServiceAccountTokenVolume=true".into(),
                ),
            ],
        )
    }

    /// Starts the controllers and the scheduler.
    pub(super) fn start_controllers(&self) -> Result<()> {
        let pki = |file: &str| self.run.join("pki").join(file).display().to_string();
        let common = |part: &str| {
            let file = self.run.join(format!("{part}.kubeconfig"));
            let file = file.display().to_string();
            vec![
                ("--kubeconfig", file.clone()),
                ("--authentication-kubeconfig", file.clone()),
                ("--authorization-kubeconfig", file),
                ("--bind-address", "127.0.0.1".into()),
                ("--leader-elect", "false".into()),
            ]
        };
        let mut controllers = common("kube-controller-manager");
        controllers.extend([
            ("--use-service-account-credentials", "true".into()),
            ("--service-account-private-key-file", pki("sa.key")),
            ("--root-ca-file", pki("ca.crt")),
            ("--cluster-signing-cert-file", pki("ca.crt")),
            ("--cluster-signing-key-file", pki("ca.key")),
            // Pods of a lost node are moved quickly.
            ("--node-monitor-grace-period", "20s".into()),
            ("--node-monitor-period", "2s".into()),
        ]);
        self.start("kube-controller-manager", &controllers)?;
        self.start("kube-scheduler", &common("kube-scheduler"))
    }

    fn start(&self, program: &str, options: &[(&str, String)]) -> Result<()> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!(
                "--net=/run/netns/{}",
                Self::namespace(self.cluster)
            ))
            .arg(self.assets.join(program));
        for (name, value) in options {
            command.arg(match value.as_str() {
                "" => (*name).to_owned(),
                value => format!("{name}={value}"),
            });
        }
        self.processes.start(program, &command)?;
        Ok(())
    }

    /// The API server listens in a network namespace. This relay listens on the machine's loopback.
    fn start_relay(&self) -> Result<()> {
        let script = self.run.join("relay.sh");
        let namespace = Self::namespace(self.cluster);
        let text = format!(
            "#!/bin/sh\nexec nsenter --net=/run/netns/{namespace} socat STDIO TCP:{ADDRESS}:6443\n"
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
        let mut socat = Command::new("socat");
        socat
            .arg(format!(
                "TCP-LISTEN:{},bind=127.0.0.1,fork,reuseaddr",
                self.port
            ))
            .arg(format!("EXEC:{}", script.display()));
        self.processes.start("relay", &socat)?;
        Ok(())
    }
}

/// Runs `ip` in a network namespace; the step is split at white space.
pub(super) fn ip_in(namespace: &str, step: &str) -> Result<()> {
    let mut arguments = vec!["-n", namespace];
    arguments.extend(step.split_whitespace());
    netns::run("ip", &arguments).map(drop)
}

/// A free port of the loopback.
pub(super) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Programs of the cluster that are missing.
pub(super) fn missing(assets: &Path) -> Vec<PathBuf> {
    let programs = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
        "pause",
    ];
    let paths = programs.map(|program| assets.join(program));
    paths.into_iter().filter(|path| !path.is_file()).collect()
}
