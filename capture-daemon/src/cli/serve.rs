//! `captured serve` and `captured config`.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::signals;
use crate::{
    log,
    serve::{
        self,
        config::{Config, Layers, documented, read},
    },
};

/// Run as a service that records at the request of gRPC clients.
///
/// Settings come from a TOML file, then from the environment (CAPTURED_DATA_DIR for data_dir), then
/// from these options; `captured config defaults` shows them all.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
}

/// Show the configuration, or check it.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print each setting in force and where it came from, after checking all of them.
    Print(Box<Settings>),
    /// Print every setting with its meaning, variable, flag and default, as a file to start from.
    Defaults,
}

#[derive(Debug, Default, Args)]
pub(super) struct Settings {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "CAPTURED_CONFIG")]
    config: Option<PathBuf>,

    /// Unix socket for clients.
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,

    /// Directory of the daemon's state.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// Directory for captures.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Remove first the files that this sink of capture-export has, and has compared. A sink that is behind stops no
    /// removal: the limits of the disk come first.
    #[arg(long, value_name = "SINK")]
    retain_until_exported: Option<String>,

    /// TCP address for clients with certificates; requires the next three options.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// The daemon's certificate and any intermediate certificates, PEM.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,

    /// Its private key, PEM, readable by nobody else.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,

    /// Certificates of the authorities for clients, PEM.
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,

    /// TCP address for anyone, without encryption: whoever can connect can read this node's
    /// traffic.
    #[arg(long, value_name = "ADDRESS:PORT")]
    insecure_listen: Option<String>,

    /// HTTP address for metrics and health; "" for none.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,

    /// Any setting, by its key. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, as in limits.captures=100")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Settings {
    /// Settings with a dedicated flag: key, flag and value.
    fn named(&self) -> [(&'static str, &'static str, &Option<String>); 10] {
        [
            ("socket", "--socket", &self.socket),
            ("state_dir", "--state-dir", &self.state_dir),
            ("data_dir", "--data-dir", &self.data_dir),
            (
                "retain_until_exported",
                "--retain-until-exported",
                &self.retain_until_exported,
            ),
            ("listen", "--listen", &self.listen),
            (
                "tls.certificate",
                "--tls-certificate",
                &self.tls_certificate,
            ),
            ("tls.key", "--tls-key", &self.tls_key),
            ("tls.client_ca", "--tls-client-ca", &self.tls_client_ca),
            (
                "insecure_listen",
                "--insecure-listen",
                &self.insecure_listen,
            ),
            ("metrics.listen", "--metrics", &self.metrics),
        ]
    }

    fn read(&self) -> anyhow::Result<(Layers, Config)> {
        let file = match &self.config {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("reading configuration file {}", path.display()))?;
                Some((path.display().to_string(), text))
            }
            None => None,
        };
        let mut flags = Vec::new();
        for (key, flag, value) in self.named() {
            if let Some(value) = value {
                // Paths may be relative to the current directory.
                let is_path = ![
                    "listen",
                    "insecure_listen",
                    "metrics.listen",
                    "retain_until_exported",
                ]
                .contains(&key);
                let value = match std::path::absolute(value) {
                    Ok(path) if is_path && !value.is_empty() => path.display().to_string(),
                    _ => value.clone(),
                };
                flags.push((key, value, flag.to_owned()));
            }
        }
        for (key, value) in &self.set {
            flags.push((key, value.clone(), "--set".to_owned()));
        }
        let file = file
            .as_ref()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let (layers, tables) = read(file, std::env::vars(), &flags)?;
        let config = Config::check(&layers, &tables)?;
        Ok((layers, config))
    }
}

pub(super) fn run(arguments: ServeArgs, log: Option<&str>) -> anyhow::Result<ExitCode> {
    let (_, config) = arguments.settings.read()?;
    let level = log::start(log.unwrap_or(&config.log), config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("starting the control threads")?;
    let captures = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .thread_name("captures")
        .enable_all()
        .build()
        .context("starting the threads of captures")?;
    let log = log.map(str::to_owned);
    let reread = move || {
        let (_, mut config) = arguments
            .settings
            .read()
            .map_err(|error| format!("{error:#}"))?;
        if let Some(log) = &log {
            config.log.clone_from(log);
        }
        Ok(config)
    };
    let served = runtime.block_on(async {
        signals::ignore_others().context("handling signals")?;
        let captures = captures.handle().clone();
        anyhow::Ok(serve::run(config, Box::new(reread), level, captures).await?)
    });
    // Threads that still block have nothing that the end of the process would not release.
    captures.shutdown_timeout(std::time::Duration::from_millis(500));
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    served?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn config(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let settings = match command {
        ConfigCommand::Print(settings) => settings,
        ConfigCommand::Defaults => {
            let settings = Settings::default();
            let mut flags: Vec<_> = settings.named().map(|(key, flag, _)| (key, flag)).into();
            flags.push(("log", "--log"));
            out.write_all(documented(&flags).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let (layers, config) = settings.read()?;
    for (key, value, origin) in layers.all() {
        writeln!(out, "{key} = {value}  # {origin}")?;
    }
    for (name, role) in config.tls.iter().flat_map(|tls| tls.roles.entries()) {
        writeln!(out, "# client {name} is {}", role.name())?;
    }
    for order in &config.captures {
        writeln!(out, "# capture {} starts with the daemon", order.spec.name)?;
    }
    Ok(ExitCode::SUCCESS)
}
