//! `kubectl capture`: captures of a Kubernetes cluster. Resources are read and written by `kubectl`, with the
//! user's own rights; packets and files come through the coordinator, with the user's token.

mod coordinator;
mod doctor;
mod follow;
mod pod;
mod program;
mod pull;
mod resource;
mod start;
mod status;
mod tail;
mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use self::program::Kubectl;
use super::{
    exit::{self, Error, Exit},
    output::Format,
};

/// Captures packets of pods, on whatever nodes they are.
#[derive(Debug, Parser)]
#[command(name = "kubectl-capture", bin_name = "kubectl capture", version, after_help = help())]
pub(super) struct KubectlCli {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How to print: tables for people, json and yaml for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Examples:
  kubectl capture pod shop/web-0 -f 'tcp port 80' | wireshark -k -i -
  kubectl capture start web --selector app=web -n shop --duration 5m
  kubectl capture status
  kubectl capture tail web --text
  kubectl capture pull web -w web.pcapng
  kubectl capture doctor

Rights: to start, create and delete packetcaptureconfigs; to read packets, get on packetcaptureconfigs and
its subresources stream and files, and on pods of each namespace that is captured; for all of status, list on
nodes and on the recorder's pods, also in metrics.k8s.io. The connection to the coordinator is a
port-forward, unless --coordinator names an address.";

fn help() -> String {
    format!("{HELP}\n\nExit status:\n{}", exit::meanings())
}

/// Which cluster, and how its coordinator is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterArgs {
    /// The configuration of kubectl.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of it, instead of its current one.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Namespace of pods.
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// Namespace of the coordinator.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "capture-system",
        env = "KUBECTL_CAPTURE_NAMESPACE"
    )]
    coordinator_namespace: String,
    /// Name of the coordinator's Service.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "capture-coordinator",
        env = "KUBECTL_CAPTURE_SERVICE"
    )]
    coordinator_service: String,
    /// Address of the coordinator, instead of a port-forward.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "KUBECTL_CAPTURE_COORDINATOR"
    )]
    coordinator: Option<String>,
    /// Authority of the coordinator's certificate, PEM [default: what the coordinator publishes in the
    /// ConfigMap SERVICE-ca].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KUBECTL_CAPTURE_CACERT"
    )]
    cacert: Option<PathBuf>,
    /// The name in the coordinator's certificate.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "capture-coordinator"
    )]
    tls_server_name: String,
    /// A file with a token of Kubernetes [default: the one in kubectl's configuration].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KUBECTL_CAPTURE_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// Ask for a token of this service account, which takes the right to create serviceaccounts/token.
    #[arg(
        long,
        global = true,
        value_name = "NAMESPACE/NAME",
        conflicts_with = "token_file"
    )]
    service_account: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pod(pod::PodArgs),
    Start(start::StartArgs),
    Status(status::StatusArgs),
    Tail(tail::TailArgs),
    Pull(pull::PullArgs),
    Rm(start::RemoveArgs),
    Doctor(doctor::DoctorArgs),
}

/// What every command knows.
struct Cluster {
    arguments: ClusterArgs,
    kubectl: Kubectl,
    format: Format,
}

/// Does what the command line says.
pub(super) fn run(cli: KubectlCli) -> Result<Exit, Error> {
    let kubectl = Kubectl::new(
        cli.cluster.kubeconfig.as_deref(),
        cli.cluster.context.as_deref(),
    );
    let cluster = Cluster {
        arguments: cli.cluster,
        kubectl,
        format: cli.output,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Pod(arguments) => pod::run(&cluster, &arguments).await,
            Command::Start(arguments) => start::run(&cluster, &arguments),
            Command::Status(arguments) => status::run(&cluster, &arguments).await,
            Command::Tail(arguments) => tail::run(&cluster, &arguments).await,
            Command::Pull(arguments) => pull::run(&cluster, &arguments).await,
            Command::Rm(arguments) => start::remove(&cluster, &arguments),
            Command::Doctor(arguments) => doctor::run(&cluster, &arguments).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::KubectlCli;

    #[test]
    fn the_command_line_is_consistent() {
        KubectlCli::command().debug_assert();
    }
}
