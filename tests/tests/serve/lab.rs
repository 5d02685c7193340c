//! Shared by the tests of access: an authority, a daemon with its certificate, and clients.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    certificates::{Authority, Credentials, Time, replace},
    client::Capturectl,
    daemon::{Client, Daemon},
    netns::Namespace,
    process::Ended,
    wait,
};
use tempfile::TempDir;

pub(crate) const ADDRESS: &str = "127.0.0.1:9443";
pub(crate) const URI: &str = "https://localhost:9443";
pub(crate) const ALICE: &str = "spiffe://lab/alice";

/// An authority, and the files of a daemon with its certificate.
pub(crate) struct Lab {
    pub(crate) authority: Authority,
    pub(crate) directory: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Result<Self> {
        let lab = Self {
            authority: Authority::new("the lab's authority")?,
            directory: TempDir::new()?,
        };
        replace(&lab.path("ca.pem"), lab.authority.pem())?;
        lab.authority
            .node(Time::Now)?
            .write(lab.directory.path(), "node")?;
        replace(
            &lab.path("captured.toml"),
            &format!(
                "[[client]]\nsan = \"URI:{ALICE}\"\nrole = \"operator\"\n\
                 [[client]]\ncn = \"bob\"\nrole = \"viewer\"\n"
            ),
        )?;
        Ok(lab)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn daemon(&self, namespace: &Namespace, more: &[&str]) -> Result<Daemon> {
        let path = |name: &str| self.path(name).display().to_string();
        let (config, certificate) = (path("captured.toml"), path("node.pem"));
        let (key, authority) = (path("node.key"), path("ca.pem"));
        let mut arguments = vec![
            "--config",
            &config,
            "--listen",
            ADDRESS,
            "--tls-certificate",
            &certificate,
            "--tls-key",
            &key,
            "--tls-client-ca",
            &authority,
        ];
        arguments.extend(more);
        Daemon::start(namespace, &arguments)
    }

    pub(crate) fn alice(&self) -> Result<Credentials> {
        self.authority.client("whoever", ALICE, Time::Now)
    }

    /// A client of ours with this certificate.
    pub(crate) fn client(&self, namespace: &Namespace, own: &Credentials) -> Result<Client> {
        Client::over_tls(namespace, URI, &self.authority, own)
    }

    /// `capturectl` with this certificate.
    pub(crate) fn ctl<'a>(
        &self,
        namespace: &'a Namespace,
        name: &str,
        own: &Credentials,
    ) -> Result<Capturectl<'a>> {
        let own = own.write(self.directory.path(), name)?;
        Self::ctl_with(namespace, &self.path("ca.pem"), &own.certificate, &own.key)
    }

    pub(crate) fn ctl_with<'a>(
        namespace: &'a Namespace,
        authority: &Path,
        certificate: &Path,
        key: &Path,
    ) -> Result<Capturectl<'a>> {
        let text = |path: &Path| path.display().to_string();
        let (authority, certificate, key) = (text(authority), text(certificate), text(key));
        Capturectl::with(
            namespace,
            &[
                "--node",
                ADDRESS,
                "--cacert",
                &authority,
                "--cert",
                &certificate,
                "--key",
                &key,
            ],
        )
    }
}

/// Waits for a line of the audit log with all of these parts.
pub(crate) fn audited(daemon: &mut Daemon, parts: &[&str]) -> Result<()> {
    wait::until_true(&format!("an audit line with {parts:?}"), || {
        let log = daemon.process().stderr();
        Ok(log
            .lines()
            .any(|line| line.contains("audit") && parts.iter().all(|part| line.contains(part))))
    })
    .with_context(|| daemon.process().stderr())
}

pub(crate) fn ends_with(ended: &Ended, status: i32, part: &str) -> Result<()> {
    ensure!(
        ended.status.code() == Some(status) && ended.stderr.contains(part),
        "no {status} with {part:?} but {:?}: {}",
        ended.status,
        ended.stderr
    );
    Ok(())
}

/// Waits until there are this many live readers.
pub(crate) fn wait_for_readers(daemon: &Daemon, count: u64) -> Result<()> {
    wait::until_true("the reader to be there", || {
        let client = daemon.client()?;
        let request = capture_proto::v1::GetNodeRequest {};
        let answer = client.wait(client.node.clone().get_node(request))?;
        let usage = answer.into_inner().node.and_then(|node| node.usage);
        Ok(usage.is_some_and(|usage| u64::from(usage.packet_readers) == count))
    })
}
