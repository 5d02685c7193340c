//! The part of a current API server that knows definitions of resources, alone: schemas, rules in CEL, strict
//! validation of fields. The cluster of the tests has an API server that is older than rules.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    control_plane::free_port,
    keys::{Keys, Use},
    printed,
    processes::Processes,
};
use crate::wait;

const START: Duration = Duration::from_secs(60);

/// A server of definitions and its store, on the loopback.
#[derive(Debug)]
pub struct Definitions {
    run: PathBuf,
    address: String,
    processes: Processes,
}

impl Definitions {
    /// Starts it in a directory; `etcd` is among the assets, and `curl` is installed.
    ///
    /// # Errors
    /// What did not start; nothing is left running in that case.
    pub fn start(run: &Path, assets: &Path, server: &Path) -> Result<Self> {
        fs::create_dir_all(run).with_context(|| format!("creating {}", run.display()))?;
        let run = run.canonicalize()?;
        let own = Self {
            address: format!("127.0.0.1:{}", free_port()?),
            processes: Processes::of(&run)?,
            run,
        };
        if let Err(error) = own.start_all(&assets.join("etcd"), server) {
            if let Err(also) = own.end() {
                eprintln!("ending what was started: {also:#}");
            }
            return Err(error);
        }
        Ok(own)
    }

    fn start_all(&self, etcd: &Path, server: &Path) -> Result<()> {
        let local = |port: u16| format!("http://127.0.0.1:{port}");
        let (clients, peers) = (local(free_port()?), local(free_port()?));
        let mut store = Command::new(etcd);
        store
            .arg("--data-dir")
            .arg(self.run.join("etcd"))
            .args(["--log-level", "warn", "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")]);
        self.processes.start("etcd", &store)?;

        let keys = Keys::make(&self.run, "definitions")?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        keys.sign("server", "definitions", "", &Use::Server(&names))?;
        keys.configure("admin", "admin", "system:masters", &self.address)?;
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(server);
        command
            .args(["--bind-address", "127.0.0.1"])
            .args(["--secure-port", port])
            .args(["--etcd-servers", &clients])
            .args(["--etcd-prefix", "/registry/definitions"])
            .arg("--tls-cert-file")
            .arg(keys.path("server.crt"))
            .arg("--tls-private-key-file")
            .arg(keys.path("server.key"))
            .arg("--client-ca-file")
            .arg(keys.path("ca.crt"))
            // There is no other server to ask who somebody is, which namespaces there are, and so on.
            .arg("--authentication-skip-lookup")
            .arg("--enable-priority-and-fairness=false")
            .args(["--disable-admission-plugins", ADMISSION]);
        for option in [
            "--kubeconfig",
            "--authentication-kubeconfig",
            "--authorization-kubeconfig",
        ] {
            command.arg(option).arg(self.run.join("admin.kubeconfig"));
        }
        self.processes.start("definitions", &command)?;
        wait::within(START, "the server of definitions", || {
            self.processes.check()?;
            let answer = self.ask("GET", DEFINITIONS, None).ok();
            Ok(answer.filter(|(code, _)| *code == 200).map(drop))
        })
        .with_context(|| self.processes.tail("definitions"))
    }

    /// The status code and the body of an answer.
    fn ask(&self, method: &str, path: &str, object: Option<&Value>) -> Result<(u16, Value)> {
        let pki = |file: &str| self.run.join("pki").join(file);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--max-time", "30", "--request", method])
            .args(["--write-out", "\n%{http_code}"])
            .arg("--cacert")
            .arg(pki("ca.crt"))
            .arg("--cert")
            .arg(pki("admin.crt"))
            .arg("--key")
            .arg(pki("admin.key"));
        if let Some(object) = object {
            let file = self.run.join("object.json");
            fs::write(&file, object.to_string())?;
            curl.args(["--header", "Content-Type: application/json"])
                .arg("--data-binary")
                .arg(format!("@{}", file.display()));
        }
        curl.arg(format!("https://{}{path}", self.address));
        let text = printed(curl.output().context("starting curl")?, path)?;
        let (body, code) = text.rsplit_once('\n').context("no status code")?;
        Ok((
            code.parse()?,
            serde_json::from_str(body).unwrap_or_default(),
        ))
    }

    /// Creates a definition, and waits until it is served.
    ///
    /// # Errors
    /// The server rejects it, or finds fault with it.
    pub fn define(&self, definition: &Value) -> Result<()> {
        if let Some(error) = self.create(DEFINITIONS, definition)? {
            bail!("the definition is rejected: {error}");
        }
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let one = format!("{DEFINITIONS}/{name}");
        wait::within(START, &format!("{name} to be served"), || {
            let definition = self.get(&one)?;
            let mut established = false;
            for condition in definition["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let holds = condition["status"] == "True";
                match condition["type"].as_str().unwrap_or_default() {
                    "Established" => established = holds,
                    "NamesAccepted" => {}
                    // Such as NonStructuralSchema.
                    other if holds => bail!("{name} is {other}: {condition}"),
                    _ => {}
                }
            }
            Ok(established.then_some(()))
        })
    }

    /// Creates an object at a path of the API (`/apis/GROUP/VERSION/PLURAL`); `None` if it is accepted, else what the
    /// server says.
    ///
    /// # Errors
    /// The server is not reached.
    pub fn create(&self, path: &str, object: &Value) -> Result<Option<String>> {
        self.send("POST", &format!("{path}?fieldValidation=Strict"), object)
    }

    /// Replaces an object; otherwise like [`Self::create`].
    ///
    /// # Errors
    /// The server is not reached.
    pub fn replace(&self, path: &str, object: &Value) -> Result<Option<String>> {
        self.send("PUT", &format!("{path}?fieldValidation=Strict"), object)
    }

    /// An object as the server has it.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, path: &str) -> Result<Value> {
        match self.ask("GET", path, None)? {
            (200, object) => Ok(object),
            (code, answer) => bail!("{path}: {code}: {answer}"),
        }
    }

    fn send(&self, method: &str, path: &str, object: &Value) -> Result<Option<String>> {
        match self.ask(method, path, Some(object))? {
            (200 | 201, _) => Ok(None),
            (400 | 422, answer) => {
                let message = answer["message"].as_str().unwrap_or_default();
                Ok(Some(message.to_owned()))
            }
            (code, answer) => bail!("{method} {path}: {code}: {answer}"),
        }
    }

    /// Ends it; the logs stay.
    ///
    /// # Errors
    /// What could not be ended or removed.
    pub fn end(&self) -> Result<()> {
        for name in ["definitions", "etcd"] {
            self.processes.end(name, Signal::TERM)?;
        }
        for name in ["etcd", "pki"] {
            super::remove(&self.run.join(name))?;
        }
        Ok(())
    }
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Checks that ask other servers.
const ADMISSION: &str = "NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,\
                         ValidatingAdmissionPolicy,MutatingAdmissionPolicy";
