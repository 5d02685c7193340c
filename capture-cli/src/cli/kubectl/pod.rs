//! `kubectl capture pod`.

use capture_args::console::tell;
use capture_client::{
    cluster::{ClusterSpec, PodSelector},
    model::{FileOutput, Limits, Output, Retention, Span, Spec},
    resource::{DELETE_FILES, RESOURCE},
};
use capture_types::{DigestAlgorithm, Format, values};
use clap::Args;
use serde_json::json;

use super::{
    Cluster,
    coordinator::connect,
    follow::{FollowArgs, follow},
    program::Kubectl,
    resource,
};
use crate::cli::exit::{Error, Exit};

/// Show packets of pods as they come: pcapng for a pipe, lines for a terminal.
///
/// The capture lives as long as the command; nothing of it stays on the nodes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PodArgs {
    /// Pods, as NAMESPACE/NAME, or as NAME in the namespace of -n.
    #[arg(required = true, value_name = "POD")]
    pods: Vec<String>,
    /// Only packets that match this tcpdump expression.
    #[arg(
        short,
        long,
        value_name = "EXPRESSION",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// End after this time.
    #[arg(long, value_name = "DURATION", value_parser = values::interval, default_value = "1h")]
    duration: std::time::Duration,
    #[command(flatten)]
    follow: FollowArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl capture pod shop/web-0 -f 'tcp port 80' | wireshark -k -i -
  kubectl capture pod web-0 web-1 -n shop -c 100 --text";

/// Removes the resource, and with it the captures and their files, when the command ends.
struct Temporary<'a> {
    kubectl: &'a Kubectl,
    name: String,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let words = ["delete", RESOURCE, &self.name, "--wait=false"];
        if let Err(error) = self.kubectl.run(&words) {
            tell(format_args!("{} is left behind: {error}", self.name));
        }
    }
}

pub(super) async fn run(cluster: &Cluster, arguments: &PodArgs) -> Result<Exit, Error> {
    let names = arguments.pods.iter();
    let request = ClusterSpec {
        pods: Some(PodSelector {
            names: names.map(|pod| resource::pod(cluster, pod)).collect(),
            ..PodSelector::default()
        }),
        capture: Spec {
            filter: arguments.filter.clone(),
            output: Some(Output::Files(FileOutput {
                format: Some(Format::Pcapng),
                // What this command missed is not looked for afterwards: a little disk is enough.
                retention: Retention {
                    max_files: Some(2),
                    ..Retention::default()
                },
                digest: Some(DigestAlgorithm::default()),
                ..FileOutput::default()
            })),
            limits: Limits {
                duration: Some(Span(arguments.duration)),
                ..Limits::default()
            },
            ..Spec::default()
        },
        ..ClusterSpec::default()
    };
    let spec = resource::spec(&request)?;
    let annotations = json!({ DELETE_FILES: "true" });
    let connected = connect(cluster).await?;
    let manifest = resource::manifest("kubectl-capture-", &annotations, spec);
    let temporary = Temporary {
        name: resource::create(&cluster.kubectl, &manifest)?,
        kubectl: &cluster.kubectl,
    };
    let name = temporary.name.clone();
    let shown = follow(&connected.client, &name, "", &arguments.follow);
    let result = tokio::select! {
        exit = shown => exit,
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Done).map_err(Error::from),
    };
    if let Err(Error::Client(capture_client::ClientError::NotFound(_))) = &result {
        // It did not begin; the resource says why.
        let resource = resource::get(&cluster.kubectl, &name)?;
        let message = resource["status"]["message"]
            .as_str()
            .unwrap_or("the coordinator does not act");
        return Err(Error::Failed(format!("nothing is captured: {message}")));
    }
    result
}
