//! Daemons that a coordinator reaches with certificates.

use std::path::PathBuf;

use anyhow::Result;
use capture_tests::{
    certificates::{Authority, Credentials, Time, replace},
    daemon::Daemon,
    netns::Namespace,
    wait,
};
use tempfile::TempDir;

/// An authority, and files with certificates for daemons and the coordinator.
pub(crate) struct Lab {
    pub(crate) authority: Authority,
    pub(crate) directory: TempDir,
}

/// The port of the daemons.
pub(crate) const PORT: u16 = 8080;

impl Lab {
    pub(crate) fn new() -> Result<Self> {
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

    pub(crate) fn client(&self, name: &str) -> Result<Credentials> {
        self.authority.client(name, "", Time::Now)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        path.display().to_string()
    }

    /// A daemon that listens on an address of a namespace, for the coordinator alone.
    pub(crate) fn daemon(
        &self,
        namespace: &Namespace,
        address: &str,
        name: &str,
    ) -> Result<Daemon> {
        let listen = format!("{address}:{PORT}");
        let node = format!("node_name=\"{name}\"");
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
    pub(crate) fn options(&self, listen: &str) -> Vec<String> {
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
}

/// Waits until somebody reads packets of a daemon as they come.
pub(crate) fn wait_for_reader(daemon: &Daemon) -> Result<()> {
    wait::until_true("the reader to be there", || {
        let client = daemon.client()?;
        let request = capture_proto::v1::GetNodeRequest {};
        let answer = client.wait(client.node.clone().get_node(request))?;
        let usage = answer.into_inner().node.and_then(|node| node.usage);
        Ok(usage.is_some_and(|usage| usage.packet_readers > 0))
    })
}
