//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::{
    delete_all,
    resource::{self, Cel},
    run,
    settings::{Layer, Settings},
};

/// Turns PacketCaptureConfig resources into captures on the nodes of a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(
    name = "capture-coordinator",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file, TOML; options and environment take precedence.
    #[arg(long, value_name = "FILE", env = "CAPTURE_COORDINATOR_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

const EXAMPLES: &str = "\
Examples:
  Install the resource's definition:
    capture-coordinator crd | kubectl apply -f -

  Run outside the cluster, for a try:
    KUBECONFIG=~/.kube/config capture-coordinator --lease '' --daemon-namespace capture \\
        --daemon-cacert ca.pem --daemon-cert me.pem --daemon-key me.key

  Without Kubernetes, over the nodes of a list:
    capture-coordinator --nodes nodes.toml --listen 0.0.0.0:9444 --tls-certificate me.pem \\
        --tls-key me.key --tls-client-ca ca.pem --daemon-cacert ca.pem --daemon-cert me.pem --daemon-key me.key

Exit status:
  0  told to end, or done
  1  failed, or wrong configuration
  2  wrong command line";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition as YAML.
    Crd {
        /// Omit the CEL rules, which servers before Kubernetes 1.25 do not support
        #[arg(long)]
        without_cel: bool,
    },
    /// Delete every PacketCaptureConfig and wait until its captures have ended: before the coordinator is removed.
    DeleteAll {
        /// How long to wait; resources that are still there then are let go without their captures being ended.
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
        patience: std::time::Duration,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The error, with its context.
    pub fn run(self) -> Result<()> {
        match self.command {
            Some(Command::Crd { without_cel }) => print_definition(without_cel),
            Some(Command::DeleteAll { patience }) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("starting")?;
                runtime.block_on(delete_all::delete_all(patience))
            }
            None => {
                let below = match &self.config {
                    Some(path) => Layer::read(path)?,
                    None => Layer::default(),
                };
                let settings = self.settings.over(below).check()?;
                log(&settings);
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .context("starting threads")?;
                runtime.block_on(run::run(settings))
            }
        }
    }
}

fn print_definition(without_cel: bool) -> Result<()> {
    let cel = if without_cel { Cel::Without } else { Cel::With };
    let definition = resource::definition(cel)?;
    let text = serde_yaml_ng::to_string(&definition)?;
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).context("writing")
}

/// Logs to stderr.
fn log(settings: &Settings) {
    // The library's spans would repeat the resource's name in each line.
    let filter = format!("kube_runtime::controller=warn,{}", settings.log_level);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(false);
    if settings.log_json {
        lines.json().flatten_event(true).init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        lines.with_ansi(colours).init();
    }
}
