//! `kubectl capture start` and `kubectl capture rm`.

use std::{collections::BTreeMap, time::Duration};

use capture_args::console::plain;
use capture_client::{
    cluster::{ClusterSpec, PodSelector},
    model::{FileOutput, Limits, Output, Span, Spec},
    resource::{DELETE_FILES, RESOURCE},
};
use capture_types::{DigestAlgorithm, Format, values};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Cluster, resource};
use crate::cli::{
    exit::{Error, Exit},
    output,
    values::label,
};

/// Start a capture of pods or addresses, into files on the nodes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct StartArgs {
    /// Name of the capture, with which its files begin [default: made up].
    name: Option<String>,
    /// Pods with these labels, in the namespace of -n; they join and leave while it runs.
    #[arg(short = 'l', long, group = "what", value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = label)]
    selector: Vec<(String, String)>,
    /// Look for the labels in all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// A pod, as NAMESPACE/NAME or NAME. Repeatable.
    #[arg(long, group = "what", value_name = "POD")]
    pod: Vec<String>,
    /// An address or a network. Repeatable.
    #[arg(long, group = "what", value_name = "ADDRESS")]
    host: Vec<String>,
    /// A TCP or UDP port. Repeatable.
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// Only packets that match this tcpdump expression.
    #[arg(short, long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// End after this time.
    #[arg(long, value_name = "DURATION", value_parser = values::interval, default_value = "1m")]
    duration: Duration,
    /// End on each node after so many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = values::at_least_one, default_value = "1000000")]
    max_packets: u64,
    /// Where packets go.
    #[arg(long, value_enum, default_value_t = OutputFormat::Pcapng)]
    format: OutputFormat,
    /// At most this much of each packet.
    #[arg(short, long, value_name = "BYTES", value_parser = values::snaplen)]
    snaplen: Option<u32>,
    /// Record a packet at every interface of a node that it passes. Without this option a packet from or to an
    /// address (--host) is recorded once.
    #[arg(long)]
    every_interface: bool,
    /// Only nodes with this label. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    node_selector: Vec<(String, String)>,
    /// Delete the capture and its files so long after its end.
    #[arg(long, value_name = "DURATION", value_parser = values::interval)]
    ttl: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  kubectl capture start web --selector app=web -n shop --duration 5m
  kubectl capture start --pod shop/web-0 --port 443 --ttl 1h
  kubectl capture start dns --host 10.96.0.10 -f 'udp port 53'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Pcap,
    Pcapng,
    Text,
    Stdout,
}

impl StartArgs {
    fn spec(&self, cluster: &Cluster) -> ClusterSpec {
        let labels: BTreeMap<_, _> = self.selector.iter().cloned().collect();
        let is_scoped = !labels.is_empty() && !self.all_namespaces;
        let pods = PodSelector {
            names: self
                .pod
                .iter()
                .map(|pod| resource::pod(cluster, pod))
                .collect(),
            namespaces: is_scoped
                .then(|| resource::namespace(cluster))
                .into_iter()
                .collect(),
            labels,
        };
        let files = |format| FileOutput {
            format: Some(format),
            digest: Some(DigestAlgorithm::default()),
            ..FileOutput::default()
        };
        ClusterSpec {
            pods: (pods != PodSelector::default()).then_some(pods),
            capture: Spec {
                targets: self.host.clone(),
                ports: self.port.iter().copied().map(u32::from).collect(),
                filter: self.filter.clone().unwrap_or_default(),
                snaplen: self.snaplen,
                each_packet_once: self.every_interface.then_some(false),
                output: Some(match self.format {
                    OutputFormat::Pcap => Output::Files(files(Format::Pcap)),
                    OutputFormat::Pcapng => Output::Files(files(Format::Pcapng)),
                    OutputFormat::Text => Output::Text(files(Format::Text)),
                    OutputFormat::Stdout => Output::Stdout {},
                }),
                limits: Limits {
                    duration: Some(Span(self.duration)),
                    packets: Some(self.max_packets),
                    ..Limits::default()
                },
                ..Spec::default()
            },
            node_labels: self.node_selector.iter().cloned().collect(),
            ttl: self.ttl.map(Span),
            ..ClusterSpec::default()
        }
    }
}

pub(super) fn run(cluster: &Cluster, arguments: &StartArgs) -> Result<Exit, Error> {
    let name = arguments.name.as_deref().unwrap_or("capture-");
    let spec = resource::spec(&arguments.spec(cluster))?;
    let manifest = resource::manifest(name, &json!({}), spec);
    let name = resource::create(&cluster.kubectl, &manifest)?;
    output::print(cluster.format, &json!({ "name": name }), || {
        format!(
            "{0} is started; `kubectl capture status {0}` says what becomes of it\n",
            plain(&name)
        )
    })?;
    Ok(Exit::Done)
}

/// End captures and delete them. Their files stay on the nodes until newer ones take their place.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Names of captures.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Delete their files on the nodes, too.
    #[arg(long)]
    files: bool,
}

pub(super) fn remove(cluster: &Cluster, arguments: &RemoveArgs) -> Result<Exit, Error> {
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    if arguments.files {
        let mark = format!("{DELETE_FILES}=true");
        let annotation = [mark.as_str(), "--overwrite"];
        let words = [&["annotate", RESOURCE][..], &names, &annotation].concat();
        cluster.kubectl.run(&words)?;
    }
    let words = [&["delete", RESOURCE][..], &names].concat();
    let said = cluster.kubectl.run(&words)?;
    output::print(cluster.format, &json!({ "deleted": names }), || said)?;
    Ok(Exit::Done)
}
