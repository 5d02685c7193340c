//! The command line of `capturectl`.

mod analyze;
mod answers;
mod captures;
mod completion;
mod connection;
mod daemon;
mod environment;
mod exit;
mod export;
mod extcap;
mod files;
mod filter;
mod kubectl;
mod node;
mod output;
mod prune;
mod pull;
mod run;
mod spec;
mod start;
mod tables;
mod tail;
mod update;
mod values;
mod verify;
mod watch;

use std::{ffi::OsString, path::Path, process::ExitCode};

use capture_args::console::tell;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::{connection::Connection, exit::Exit, kubectl::KubectlCli, output::Format};
use capture_client::settings::Settings;

/// Starts, follows, pulls and merges captures on one node or many.
///
/// Without --node it talks to the daemon of this machine over its unix socket. With several --node it
/// asks all of them at the same time.
#[derive(Debug, Parser)]
#[command(name = "capturectl", version, propagate_version = true, after_help = help())]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    /// How to print: tables for people, json and yaml for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Examples:
  capturectl start web -i eth0 --duration 60s 'tcp port 443'
  capturectl watch web
  capturectl tail web | wireshark -k -i -
  capturectl pull web -w web.pcapng
  capturectl --node a:9443 --node b:9443 start web --host 10.0.0.7
  capturectl --node a:9443 --node b:9443 pull web -w both-ends.pcapng

Nodes are reached over TLS with --cacert, --cert and --key, best written down once as a context in
$XDG_CONFIG_HOME/capturectl/config.toml:
  current-context = \"lab\"
  [contexts.lab]
  nodes = [\"a:9443\", \"b:9443\"]
  cacert = \"/etc/capture/ca.pem\"
  cert = \"/etc/capture/me.pem\"
  key = \"/etc/capture/me.key\"

Installed as kubectl-capture it is a plugin for the captures of a cluster: `kubectl capture --help`.";

fn help() -> String {
    format!("{HELP}\n\nExit status:\n{}", exit::meanings())
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::StartArgs),
    Run(run::RunArgs),
    Stop(captures::StopArgs),
    List(captures::ListArgs),
    Get(captures::GetArgs),
    Watch(watch::WatchArgs),
    Update(update::UpdateArgs),
    Rm(captures::RemoveArgs),
    Files(files::FilesArgs),
    Pull(pull::PullArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Analyze(Box<analyze::AnalyzeArgs>),
    Prune(prune::PruneArgs),
    Tail(tail::TailArgs),
    Interfaces(node::InterfacesArgs),
    Node(node::NodeArgs),
    Filter(filter::FilterArgs),
    Completion(completion::CompletionArgs),
    Extcap(extcap::ExtcapArgs),
}

/// What every command knows.
#[derive(Clone)]
struct Context {
    settings: Settings,
    format: Format,
    reason: String,
    /// Options that lead another capturectl to the same nodes.
    way: Vec<OsString>,
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if crate::extcap::is_called(&arguments) {
        return finish(extcap::serve(&arguments));
    }
    if called_by_kubectl(&arguments) {
        return finish(kubectl::run(KubectlCli::parse_from(&arguments)));
    }
    let matches = Cli::command().get_matches_from(&arguments);
    finish(
        Cli::from_arg_matches(&matches)
            .map_err(|error| exit::Error::Usage(error.to_string()))
            .and_then(run_command),
    )
}

fn called_by_kubectl(arguments: &[OsString]) -> bool {
    arguments
        .first()
        .and_then(|path| Path::new(path).file_name())
        .is_some_and(|name| name == "kubectl-capture")
}

fn finish(result: Result<Exit, exit::Error>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        // Who reads the output has seen enough.
        Err(exit::Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("capturectl: {error}{}", error.hint()));
            error.exit().into()
        }
    }
}

fn run_command(cli: Cli) -> Result<Exit, exit::Error> {
    let Cli {
        connection,
        output: format,
        mut command,
    } = cli;
    if let Command::Completion(arguments) = command {
        return completion::run(&arguments, Cli::command());
    }
    // These need no node.
    match command {
        Command::Export(arguments) => return Err(arguments.run()),
        Command::Pull(arguments) if arguments.from.is_some() => {
            return Err(pull::from_store(&arguments));
        }
        other => command = other,
    }
    let context = Context {
        settings: connection.settings()?,
        format,
        reason: connection.reason.clone(),
        way: connection.way(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Start(arguments) => start::run(&context, arguments).await,
            Command::Run(arguments) => run::run(&context, arguments).await,
            Command::Stop(arguments) => captures::stop(&context, &arguments).await,
            Command::List(arguments) => captures::list(&context, &arguments).await,
            Command::Get(arguments) => captures::get(&context, &arguments).await,
            Command::Watch(arguments) => watch::run(&context, &arguments).await,
            Command::Update(arguments) => update::run(&context, arguments).await,
            Command::Rm(arguments) => captures::remove(&context, &arguments).await,
            Command::Files(arguments) => files::run(&context, &arguments).await,
            Command::Pull(arguments) => pull::run(&context, &arguments).await,
            Command::Verify(arguments) => verify::run(&context, &arguments).await,
            Command::Analyze(arguments) => analyze::run(&context, &arguments).await,
            Command::Prune(arguments) => prune::run(&context, &arguments).await,
            Command::Tail(arguments) => tail::run(&context, &arguments).await,
            Command::Interfaces(arguments) => node::interfaces(&context, &arguments).await,
            Command::Node(arguments) => node::node(&context, &arguments).await,
            Command::Filter(arguments) => filter::run(&context, &arguments).await,
            Command::Extcap(arguments) => extcap::run(&context, &arguments),
            Command::Completion(_) | Command::Export(_) => Ok(Exit::Done),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
