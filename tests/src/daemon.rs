//! The real `captured serve`, and a gRPC client of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{
    self, capture_service_client::CaptureServiceClient, file_service_client::FileServiceClient,
    node_service_client::NodeServiceClient,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{
    certificates::{Authority, Credentials},
    netns::Namespace,
    process::{Ended, Process},
    recorder, wait,
};

/// A daemon with its own directories.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    directory: TempDir,
}

impl Daemon {
    /// Starts a daemon and waits until it serves.
    pub fn start(namespace: &Namespace, arguments: &[&str]) -> Result<Self> {
        Self::start_in(namespace, TempDir::new()?, arguments)
    }

    /// Starts a daemon with the caller's standard output.
    pub fn start_into(namespace: &Namespace, stdout: Stdio, arguments: &[&str]) -> Result<Self> {
        Self::start_with(namespace, TempDir::new()?, stdout, arguments)
    }

    /// Starts a daemon in the directories of an earlier one.
    pub fn start_in(namespace: &Namespace, directory: TempDir, arguments: &[&str]) -> Result<Self> {
        Self::start_with(namespace, directory, Stdio::piped(), arguments)
    }

    fn start_with(
        namespace: &Namespace,
        directory: TempDir,
        stdout: Stdio,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(recorder::program()?);
        // The test must not depend on how full this machine's disk is.
        command
            .arg("serve")
            .args(["--set", "defaults.min_free=0"])
            .args(arguments);
        if !arguments.contains(&"--metrics") {
            command.args(["--metrics", ""]);
        }
        for (flag, name) in [
            ("--socket", "socket"),
            ("--state-dir", "state"),
            ("--data-dir", "data"),
        ] {
            command.arg(flag).arg(directory.path().join(name));
        }
        let mut process = Process::start_into(namespace, command, stdout)?;
        process.wait_for_stderr(" serves")?;
        Ok(Self { process, directory })
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The directory of a capture's files.
    #[must_use]
    pub fn files(&self, capture: &str) -> PathBuf {
        self.directory.path().join("data").join(capture)
    }

    /// The parent of its directories.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A new client.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.socket())
    }

    /// Kills the daemon with SIGKILL; returns its directories.
    pub fn kill(self) -> Result<TempDir> {
        self.process.signal(Signal::KILL)?;
        self.process.wait()?;
        Ok(self.directory)
    }

    /// Ends the daemon with SIGTERM and waits for it.
    pub fn end(self) -> Result<(Ended, TempDir)> {
        self.process.signal(Signal::TERM)?;
        Ok((self.process.wait()?, self.directory))
    }

    /// The number of its descriptors, threads and mappings of eBPF maps.
    pub fn resources(&self) -> Result<Resources> {
        let proc = PathBuf::from(format!("/proc/{}", self.process.id()));
        let mut resources = Resources::default();
        for entry in std::fs::read_dir(proc.join("fd"))? {
            let target = std::fs::read_link(entry?.path()).unwrap_or_default();
            resources.descriptors += 1;
            resources.bpf += usize::from(target.to_string_lossy().contains("bpf"));
        }
        resources.threads = std::fs::read_dir(proc.join("task"))?.count();
        let mapped = std::fs::read_to_string(proc.join("maps"))?;
        resources.mappings = mapped.lines().filter(|line| line.contains("bpf")).count();
        Ok(resources)
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.of_status("VmRSS:")
    }

    /// The maximum of its resident memory, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.of_status("VmHWM:")
    }

    fn of_status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes
            .context("not in the status")?
            .trim()
            .parse::<u64>()?
            * 1024)
    }
}

/// Resources of a daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Open descriptors.
    pub descriptors: usize,
    /// eBPF maps, programs and links among them.
    pub bpf: usize,
    /// Threads.
    pub threads: usize,
    /// Mappings of eBPF maps.
    pub mappings: usize,
}

/// A client that waits for each answer.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    /// Captures.
    pub captures: CaptureServiceClient<Channel>,
    /// Files.
    pub files: FileServiceClient<Channel>,
    /// The node.
    pub node: NodeServiceClient<Channel>,
    /// The channel of all of them.
    pub channel: Channel,
}

impl Client {
    /// One of the daemon at this unix socket.
    pub fn new(socket: &Path) -> Result<Self> {
        Self::to(Endpoint::from_shared(format!(
            "unix://{}",
            socket.display()
        ))?)
    }

    /// A client of a daemon at `https://...` in a network namespace, with a certificate.
    pub fn over_tls(
        namespace: &Namespace,
        uri: &str,
        authority: &Authority,
        own: &Credentials,
    ) -> Result<Self> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.pem()))
            .identity(Identity::from_pem(&own.certificate, &own.key));
        let endpoint = Endpoint::from_shared(uri.to_owned())?.tls_config(tls)?;
        // The threads of its runtime are in the namespace, too.
        namespace.run(|| Self::to(endpoint))
    }

    /// A client of a daemon at `http://...` in a network namespace, without certificates.
    pub fn over_tcp(namespace: &Namespace, uri: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(uri.to_owned())?;
        namespace.run(|| Self::to(endpoint))
    }

    fn to(endpoint: Endpoint) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let channel = runtime.block_on(endpoint.connect())?;
        Ok(Self {
            runtime,
            captures: CaptureServiceClient::new(channel.clone()),
            files: FileServiceClient::new(channel.clone()),
            node: NodeServiceClient::new(channel.clone()),
            channel,
        })
    }

    /// Waits for a future.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Starts a capture.
    pub fn start(&self, name: &str, spec: v1::CaptureSpec) -> Result<v1::Capture> {
        let request = v1::StartCaptureRequest {
            name: name.to_owned(),
            spec: Some(spec),
            ..Default::default()
        };
        let answer = self.wait(self.captures.clone().start_capture(request))?;
        answer.into_inner().capture.context("no capture")
    }

    /// The capture as it is now.
    pub fn get(&self, name: &str) -> Result<v1::Capture> {
        let request = v1::GetCaptureRequest {
            name: name.to_owned(),
        };
        let answer = self.wait(self.captures.clone().get_capture(request))?;
        answer.into_inner().capture.context("no capture")
    }

    /// Stops a capture and waits for its end.
    pub fn stop(&self, name: &str) -> Result<v1::Capture> {
        let request = v1::StopCaptureRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let answer = self.wait(self.captures.clone().stop_capture(request))?;
        answer.into_inner().capture.context("no capture")
    }

    /// Deletes a capture and its files.
    pub fn delete(&self, name: &str) -> Result<()> {
        let request = v1::DeleteCaptureRequest {
            name: name.to_owned(),
            stop: true,
            ..Default::default()
        };
        self.wait(self.captures.clone().delete_capture(request))?;
        Ok(())
    }

    /// The files of a capture.
    pub fn list_files(&self, name: &str) -> Result<Vec<v1::File>> {
        let request = v1::ListFilesRequest {
            capture: name.to_owned(),
            ..Default::default()
        };
        Ok(self
            .wait(self.files.clone().list_files(request))?
            .into_inner()
            .files)
    }

    /// Waits until a capture is in a state.
    pub fn wait_for_state(&self, name: &str, state: v1::CaptureState) -> Result<v1::Capture> {
        wait::until(&format!("{name} to be {state:?}"), || {
            let capture = self.get(name)?;
            Ok((capture.state() == state).then_some(capture))
        })
    }
}

/// A capture of one interface, with a small ring.
#[must_use]
pub fn spec(interface: &str, filter: &str) -> v1::CaptureSpec {
    v1::CaptureSpec {
        interfaces: vec![interface.to_owned()],
        filter: filter.to_owned(),
        ring_size: Some(1 << 20),
        ..Default::default()
    }
}

/// Fails unless the ledger of an ended capture adds up, this many packets matched, not counting duplicates,
/// and all of them were written.
pub fn wrote_all(capture: &v1::Capture, matched: u64) -> Result<()> {
    let ledger = capture.ledger.as_ref().context("no ledger")?;
    let known = |number: Option<u64>| number.context("a number of the ledger is not known");
    let discarded = ledger
        .discarded
        .as_ref()
        .context("nothing known of what was discarded")?;
    let lost = known(discarded.queue_full)?
        + known(discarded.disk_full)?
        + known(discarded.write_error)?
        + known(discarded.stopped)?;
    let (seen, filtered) = (known(ledger.seen)?, known(ledger.filtered)?);
    let (all, written) = (known(ledger.matched)?, known(ledger.written)?);
    let submitted = known(ledger.submitted)?;
    ensure!(
        seen == filtered + all,
        "{seen} seen = {filtered} filtered + {all} matched"
    );
    ensure!(
        all == submitted
            + known(ledger.ring_full)?
            + known(ledger.unreadable)?
            + known(ledger.duplicate)?,
        "{all} matched of {ledger:?}"
    );
    ensure!(
        submitted == written + lost,
        "{submitted} submitted = {written} written + {lost}"
    );
    ensure!(
        written == matched,
        "capture {}: {written} written of {matched}",
        capture.name
    );
    Ok(())
}
