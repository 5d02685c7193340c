//! `capturectl update`.

use capture_args::TargetArgs;
use capture_types::SinkName;
use clap::Args;

use super::{
    Context,
    answers::{Answers, ask},
    captures::print_captures,
    exit::{Error, Exit},
    spec::{LimitsArgs, numbers, texts},
    values,
};
use capture_client::{Update, model::Spec};

/// Change a running capture: filter, hosts, ports, limits, labels.
///
/// Only what is given changes. Packets that the old and the new filter both match are neither lost nor
/// doubled. Limits count from the start of the capture.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpdateArgs {
    /// Name of the capture.
    name: String,

    /// The new expression.
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,

    /// Remove the expression.
    #[arg(long, conflicts_with = "filter")]
    no_filter: bool,

    #[command(flatten)]
    targets: TargetArgs,

    /// Remove --host.
    #[arg(long, conflicts_with = "hosts")]
    no_hosts: bool,

    /// Remove --port.
    #[arg(long, conflicts_with = "ports")]
    no_ports: bool,

    /// Remove --not-host and --not-port.
    #[arg(long, conflicts_with_all = ["not_hosts", "not_ports"])]
    no_exclusions: bool,

    #[command(flatten)]
    limits: LimitsArgs,

    /// Remove all limits except those given here.
    #[arg(long)]
    no_limits: bool,

    /// The complete set of sinks of the exporter that get the files. Repeatable.
    #[arg(long, value_name = "SINK")]
    export: Vec<SinkName>,

    /// Remove --export: the files go to the sinks that get those of every capture.
    #[arg(long, conflicts_with = "export")]
    no_export: bool,

    /// The complete set of new labels. Repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::label)]
    labels: Vec<(String, String)>,

    /// Remove all labels.
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,

    /// Only if the capture still has this generation.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  capturectl update web --filter 'tcp port 443 or udp port 443'
  capturectl update web --host 10.0.0.7 --host 10.0.0.9
  capturectl update web --no-limits --duration 2h";

impl UpdateArgs {
    /// The fields that change, as the API names them.
    fn paths(&self) -> Vec<String> {
        let one_limit = |given: bool| given && !self.no_limits;
        let limits = self.limits.limits();
        let changed = [
            ("filter", self.filter.is_some() || self.no_filter),
            ("targets", !self.targets.hosts.is_empty() || self.no_hosts),
            ("ports", !self.targets.ports.is_empty() || self.no_ports),
            (
                "excluded_targets",
                !self.targets.not_hosts.is_empty() || self.no_exclusions,
            ),
            (
                "excluded_ports",
                !self.targets.not_ports.is_empty() || self.no_exclusions,
            ),
            ("limits", self.no_limits),
            ("limits.duration", one_limit(limits.duration.is_some())),
            ("limits.packets", one_limit(limits.packets.is_some())),
            ("limits.bytes", one_limit(limits.bytes.is_some())),
            ("limits.deadline", one_limit(limits.deadline.is_some())),
            ("export", !self.export.is_empty() || self.no_export),
            ("labels", !self.labels.is_empty() || self.no_labels),
        ];
        changed
            .into_iter()
            .filter(|(_, is_changed)| *is_changed)
            .map(|(path, _)| path.to_owned())
            .collect()
    }
}

pub(super) async fn run(context: &Context, arguments: UpdateArgs) -> Result<Exit, Error> {
    let paths = arguments.paths();
    if paths.is_empty() {
        return Err(Error::Usage(
            "nothing to change: give --filter, --host, --port, --not-host, --not-port, --export, a limit or --label".to_owned(),
        ));
    }
    let targets = &arguments.targets;
    let update = Update {
        spec: Spec {
            filter: arguments.filter.unwrap_or_default(),
            ports: numbers(&targets.ports),
            targets: texts(&targets.hosts),
            excluded_targets: texts(&targets.not_hosts),
            excluded_ports: numbers(&targets.not_ports),
            limits: arguments.limits.limits(),
            export: texts(&arguments.export),
            ..Spec::default()
        },
        labels: arguments.labels.into_iter().collect(),
        paths,
        generation: arguments.generation,
    };
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, _| {
        client.update(&arguments.name, update.clone()).await
    });
    let Answers { answers, exit } = asked.await;
    print_captures(context, &answers, exit)?;
    Ok(exit)
}
