//! Daemons that a coordinator reaches with certificates.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use crate::{
    certificates::{Authority, Credentials, Time, replace},
    coordinator,
    daemon::Daemon,
    netns::{Namespace, Pair},
    process::Process,
    wait,
};

/// An authority, and files with certificates for daemons and the coordinator.
#[derive(Debug)]
pub struct Lab {
    /// It has signed all certificates.
    pub authority: Authority,
    /// `ca.pem`, `server.pem`, `client.pem` and their keys.
    pub directory: TempDir,
}

/// The port of the daemons.
pub const PORT: u16 = 8080;

impl Lab {
    /// Certificates for daemons and a coordinator.
    pub fn new() -> Result<Self> {
        let lab = Self {
            authority: Authority::new("the lab's authority")?,
            directory: TempDir::new()?,
        };
        replace(&lab.directory.path().join("ca.pem"), lab.authority.pem())?;
        let server = lab.authority.node(Time::Now)?;
        server.write(lab.directory.path(), "server")?;
        let client = lab.client("coordinator")?;
        client.write(lab.directory.path(), "client")?;
        replace(
            &lab.directory.path().join("captured.toml"),
            "[[client]]\ncn = \"coordinator\"\nrole = \"operator\"\n",
        )?;
        Ok(lab)
    }

    /// A certificate for a client of the coordinator.
    pub fn client(&self, name: &str) -> Result<Credentials> {
        self.authority.client(name, "", Time::Now)
    }

    /// The path of a file of the lab.
    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        path.display().to_string()
    }

    /// A daemon that listens on an address of a namespace, for the coordinator alone.
    pub fn daemon(&self, namespace: &Namespace, address: &str, name: &str) -> Result<Daemon> {
        let listen = format!("{address}:{PORT}");
        let node = format!("node_name={name}");
        Daemon::start(
            namespace,
            &[
                "--config",
                &self.path("captured.toml"),
                "--listen",
                &listen,
                "--tls-certificate",
                &self.path("server.pem"),
                "--tls-key",
                &self.path("server.key"),
                "--tls-client-ca",
                &self.path("ca.pem"),
                "--set",
                &node,
            ],
        )
    }

    /// Options by which a coordinator reaches the daemons and serves the cluster API.
    pub fn options(&self, listen: &str) -> Vec<String> {
        let pairs = [
            ("--daemon-cacert", self.path("ca.pem")),
            ("--daemon-cert", self.path("client.pem")),
            ("--daemon-key", self.path("client.key")),
            ("--daemon-tls-server-name", "localhost".to_owned()),
            ("--listen", listen.to_owned()),
            ("--tls-certificate", self.path("server.pem")),
            ("--tls-key", self.path("server.key")),
        ];
        let words = pairs
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]);
        words.collect()
    }

    /// Starts a coordinator over two daemons, at the addresses of a pair and named `left` and `right`, which serves
    /// the cluster API at an address of the first namespace.
    pub fn coordinator_of_two(&self, pair: &Pair, listen: &str) -> Result<Process> {
        let list = "[[node]]\nname = \"left\"\naddress = \"10.0.0.1\"\n\
                    [[node]]\nname = \"right\"\naddress = \"10.0.0.2:8080\"\n";
        let mut process = self.coordinator_of(&pair.a, listen, list)?;
        process.wait_for_stderr("left (10.0.0.1:8080): connected")?;
        process.wait_for_stderr("right (10.0.0.2:8080): connected")?;
        Ok(process)
    }

    /// Starts a coordinator over a list of nodes, in TOML.
    pub fn coordinator_of(
        &self,
        namespace: &Namespace,
        listen: &str,
        list: &str,
    ) -> Result<Process> {
        replace(&self.directory.path().join("nodes.toml"), list)?;
        let mut options = self.options(listen);
        options.extend(["--nodes", &self.path("nodes.toml")].map(str::to_owned));
        options.extend(["--tls-client-ca", &self.path("ca.pem")].map(str::to_owned));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        coordinator::start(namespace, &[], &options)
    }
}

/// Waits until somebody reads packets of a daemon as they come.
pub fn wait_for_reader(daemon: &Daemon) -> Result<()> {
    wait::until_true("the reader to be there", || {
        let client = daemon.client()?;
        let request = capture_proto::v1::GetNodeRequest {};
        let answer = client.wait(client.node.clone().get_node(request))?;
        let usage = answer.into_inner().node.and_then(|node| node.usage);
        Ok(usage.is_some_and(|usage| usage.packet_readers > 0))
    })
}
