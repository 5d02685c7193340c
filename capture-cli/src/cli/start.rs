//! `capturectl start`.

use std::collections::BTreeMap;

use clap::Args;

use super::{
    Context,
    answers::{Answers, ask},
    exit::{Error, Exit},
    output,
    spec::SpecArgs,
    values,
};
use capture_client::{
    ClientError,
    model::{Capture, Spec},
};

/// Start a capture, on every node.
///
/// When the command returns, the capture is attached to its interfaces. It runs until it is stopped, its
/// limit is reached, or the machine ends.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StartArgs {
    /// Name of the capture, with which its files begin.
    name: String,

    #[command(flatten)]
    spec: SpecArgs,

    /// A label to tell captures apart by. Repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::label)]
    labels: Vec<(String, String)>,

    /// Validate the request without starting anything.
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
Examples:
  capturectl start web -i eth0 'tcp port 443'
  capturectl start pods -i 'veth*' --compress zstd --rotate-size 100MiB --max-files 20
  capturectl --node a:9443 --node b:9443 start web --host 10.0.0.7 --duration 10m --reason INC-123

The options are those of `captured record`. Only a daemon has --max-age, --stop-bytes, --deadline, --pod, --to and
--include-own-traffic, and keeps free space for all captures together (its setting defaults.min_free). Only
`captured record` has -w, --min-free, --attach and --summary.";

pub(super) async fn run(context: &Context, arguments: StartArgs) -> Result<Exit, Error> {
    let spec = arguments.spec.spec()?;
    let labels = arguments.labels.into_iter().collect();
    let started = start(context, &arguments.name, &spec, &labels, arguments.check).await?;
    let Answers { answers, exit } = started;
    let done = if arguments.check {
        "would be recorded"
    } else {
        "is recorded"
    };
    output::print(context.format, &answers, || {
        let mut text = String::new();
        for answer in &answers {
            let capture = &answer.value;
            text.push_str(&format!(
                "{} {done} on {}: {}\n",
                capture.name,
                answer.node,
                interfaces(capture)
            ));
            for warning in &capture.warnings {
                text.push_str(&format!("  warning: {warning}\n"));
            }
        }
        text
    })?;
    Ok(exit)
}

/// Starts a capture everywhere. The request has an id, so that one whose answer was lost is made again
/// and starts nothing twice.
pub(super) async fn start(
    context: &Context,
    name: &str,
    spec: &Spec,
    labels: &BTreeMap<String, String>,
    check: bool,
) -> Result<Answers<Capture>, Error> {
    let options = context.settings.call_options(&context.reason);
    let id = request_id()?;
    let asked = ask(context, &options, async |client, _| {
        let begin = || client.start(name, spec.clone(), labels.clone(), &id, check);
        match begin().await {
            Err(ClientError::Broken(_)) => begin().await,
            answer => answer,
        }
    });
    Ok(asked.await)
}

/// 128 random bits in hexadecimal.
pub(super) fn request_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(std::io::Error::from)?;
    Ok(capture_file::hex(&bytes))
}

/// What a capture records on, in a few words.
pub(super) fn interfaces(capture: &Capture) -> String {
    let interfaces = capture.interfaces.iter();
    let names: Vec<_> = interfaces.map(|one| one.interface.as_str()).collect();
    match names.as_slice() {
        [] => capture.spec.interfaces.join(", "),
        few if few.len() <= 8 => few.join(", "),
        many => format!("{} interfaces", many.len()),
    }
}
