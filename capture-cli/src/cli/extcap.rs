//! `capturectl extcap install`, and the extcap calls of Wireshark.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Context,
    answers::ask,
    connection::Connection,
    exit::{Error, Exit},
    node::link_type_name,
    output::Format,
    start::request_id,
    tail::{TailArgs, look_on},
};
use crate::{
    extcap::{self, Source},
    live::{self, Live},
};
use capture_client::{
    Client, ClientError, Target,
    model::{FileOutput, Limits, Output, Retention, Rotation, Span, Spec, State},
};

/// Let Wireshark and tshark show the nodes' interfaces and captures.
#[derive(Debug, Args)]
pub(super) struct ExtcapArgs {
    #[command(subcommand)]
    command: ExtcapCommand,
}

#[derive(Debug, Subcommand)]
enum ExtcapCommand {
    /// Install a script in Wireshark's extcap directory. It asks the nodes that are named here, or those
    /// of the configuration when Wireshark runs.
    #[command(after_help = EXAMPLES)]
    Install {
        /// The directory, instead of Wireshark's personal extcap directory.
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  capturectl extcap install
  capturectl --context lab extcap install
  tshark -D | grep captured
  tshark -i captured/local/interface/eth0 -c 10";

pub(super) fn run(context: &Context, arguments: &ExtcapArgs) -> Result<Exit, Error> {
    let ExtcapCommand::Install { directory } = &arguments.command;
    let failed = |error: extcap::InstallError| Error::Failed(error.to_string());
    let directory = match directory {
        Some(directory) => directory.clone(),
        None => extcap::directory().map_err(failed)?,
    };
    let program = std::env::current_exe()?;
    let script = extcap::install(&directory, &program, &context.way).map_err(failed)?;
    writeln!(io::stdout(), "{} is installed", script.display())?;
    Ok(Exit::Done)
}

/// The arguments of Wireshark's calls.
#[derive(Debug, Parser)]
#[command(name = "capturectl")]
struct Called {
    #[command(flatten)]
    connection: Connection,
    #[arg(long)]
    extcap_interfaces: bool,
    #[arg(long)]
    extcap_version: Option<String>,
    #[arg(long)]
    extcap_dlts: bool,
    #[arg(long)]
    extcap_config: bool,
    #[arg(long)]
    extcap_interface: Option<String>,
    #[arg(long)]
    extcap_capture_filter: Option<String>,
    #[arg(long)]
    capture: bool,
    #[arg(long)]
    fifo: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    snaplen: u32,
}

/// Interfaces are listed each time that Wireshark starts, which must not hang because of a node.
const LISTING_TIMEOUT: Duration = Duration::from_secs(3);
/// A capture for Wireshark alone keeps this much on its node,
const FILE_BYTES: u64 = 16 << 20;
/// and ends by itself if this program is killed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers a call of Wireshark.
pub(super) fn serve(arguments: &[OsString]) -> Result<Exit, Error> {
    let called = match Called::try_parse_from(arguments) {
        Ok(called) => called,
        Err(error) => return Err(Error::Usage(error.to_string())),
    };
    let mut settings = called.connection.settings()?;
    if called.extcap_interfaces {
        settings.timeout.get_or_insert(LISTING_TIMEOUT);
    }
    let context = Context {
        settings,
        format: Format::Table,
        reason: "wireshark".to_owned(),
        way: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(answer(context, called))
}

async fn answer(mut context: Context, called: Called) -> Result<Exit, Error> {
    if called.extcap_interfaces {
        return interfaces(&context).await;
    }
    let value = called.extcap_interface.as_deref().unwrap_or_default();
    let Some(source) = Source::parse(value) else {
        return Err(Error::Usage(format!(
            "--extcap-interface {value:?} is not an interface of a node: `tshark -D` lists them"
        )));
    };
    context
        .settings
        .targets
        .retain(|target| target.label() == source.node());
    let Some(target) = context.settings.targets.first() else {
        return Err(Error::Usage(format!(
            "node {} is none of those that this script knows: run `capturectl extcap install` again",
            source.node()
        )));
    };
    let mut out = io::stdout().lock();
    if called.extcap_dlts {
        let number = link_type(&context, target, &source).await?;
        writeln!(out, "{}", extcap::dlt(number, &link_type_name(number)))?;
        return Ok(Exit::Done);
    }
    if called.extcap_config {
        let text = "At most this many bytes of each packet; 0 means all.";
        let line = extcap::number_argument(0, "--snaplen", "Snapshot length", text);
        writeln!(out, "{line}")?;
        return Ok(Exit::Done);
    }
    drop(out);
    let filter = called.extcap_capture_filter.clone().unwrap_or_default();
    if !called.capture {
        return check_filter(&context, target, filter).await;
    }
    let Some(fifo) = &called.fifo else {
        return Err(Error::Usage("--capture needs --fifo".to_owned()));
    };
    let fifo = File::options()
        .write(true)
        .open(fifo)
        .map_err(|error| Error::Failed(format!("--fifo {}: {error}", fifo.display())))?;
    capture(&context, target, &source, filter, called.snaplen, fifo).await
}

async fn interfaces(context: &Context) -> Result<Exit, Error> {
    let options = context.settings.call_options(&context.reason);
    let asked = ask(context, &options, async |client, target| {
        let node = target.label();
        let mut sources = Vec::new();
        for interface in client.interfaces().await? {
            if interface.link_type.is_some() {
                sources.push(Source::Interface {
                    node: node.clone(),
                    name: interface.name,
                });
            }
        }
        let running = [State::Running];
        for capture in client.list("", &running, &Default::default()).await? {
            sources.push(Source::Capture {
                node: node.clone(),
                name: capture.name,
            });
        }
        Ok(sources)
    });
    let sources = asked.await.flat().answers;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", extcap::greeting())?;
    for source in sources {
        let source = source.value;
        let line = extcap::interface(&source.value(), &source.display());
        writeln!(out, "{line}")?;
    }
    // Wireshark shows nothing of a program that fails, so nodes that do not answer are just not there.
    Ok(Exit::Done)
}

/// The link type of the selected interface or capture; for several interfaces, that of the first. The stream
/// itself has it for each interface.
async fn link_type(context: &Context, target: &Target, source: &Source) -> Result<u32, Error> {
    let client = Client::connect(target, &context.settings.call_options(&context.reason)).await?;
    let found = match source {
        Source::Interface { name, .. } => {
            let interfaces = client.interfaces().await?;
            let mut interfaces = interfaces.into_iter();
            interfaces
                .find(|one| one.name == *name)
                .and_then(|one| one.link_type)
        }
        Source::Capture { name, .. } => {
            let capture = client.get(name).await?;
            capture.interfaces.first().map(|one| one.link_type)
        }
    };
    Ok(found.unwrap_or(1))
}

/// Wireshark reads the error from stdout; no output means that the filter is valid.
async fn check_filter(context: &Context, target: &Target, filter: String) -> Result<Exit, Error> {
    let client = Client::connect(target, &context.settings.call_options(&context.reason)).await?;
    let spec = Spec {
        filter,
        ..Spec::default()
    };
    match client.start("", spec, Default::default(), "", true).await {
        Ok(_) => Ok(Exit::Done),
        Err(ClientError::Refused { message, .. }) => {
            writeln!(io::stdout(), "{message}")?;
            Ok(Exit::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

async fn capture(
    context: &Context,
    target: &Target,
    source: &Source,
    filter: String,
    snaplen: u32,
    fifo: File,
) -> Result<Exit, Error> {
    let client = Client::connect(target, &context.settings.call_options(&context.reason)).await?;
    let own = match source {
        Source::Capture { .. } => None,
        Source::Interface { name, .. } => Some(begin(&client, name, &filter, snaplen).await?),
    };
    let name = match (&own, source) {
        (Some(own), _) => own.clone(),
        (None, Source::Capture { name, .. } | Source::Interface { name, .. }) => name.clone(),
    };
    // The node has applied the filter already to what it captures for this alone.
    let filter = if own.is_some() { String::new() } else { filter };
    let mut arguments = TailArgs::of(name, filter);
    arguments.snaplen = Some(snaplen);
    let mut terminated = signal(SignalKind::terminate())?;
    let comment = source.display();
    let reading = fifo.try_clone()?;
    let outcome = async {
        let mut live = Live::pcapng(fifo, context.labels(), &comment)?;
        let closed = || live::is_closed(reading.as_fd());
        tokio::select! {
            exit = look_on(context, &arguments, &mut live, closed) => exit,
            _ = terminated.recv() => Ok(Exit::Done),
            interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Done).map_err(Error::from),
        }
    }
    .await;
    if let Some(own) = own {
        client.delete(&own, true, false).await?;
    }
    outcome
}

/// Starts a capture for Wireshark alone; it keeps next to nothing on the node.
async fn begin(
    client: &Client,
    interface: &str,
    filter: &str,
    snaplen: u32,
) -> Result<String, Error> {
    let id = request_id()?;
    let spec = Spec {
        interfaces: vec![interface.to_owned()],
        filter: filter.to_owned(),
        snaplen: (snaplen > 0).then_some(snaplen),
        output: Some(Output::Files(FileOutput {
            rotation: Rotation {
                max_file_bytes: Some(FILE_BYTES),
                ..Rotation::default()
            },
            retention: Retention {
                max_files: Some(1),
                ..Retention::default()
            },
            digest: None,
            ..FileOutput::default()
        })),
        limits: Limits {
            duration: Some(Span(LONGEST)),
            ..Limits::default()
        },
        ..Spec::default()
    };
    let name = format!("wireshark-{}", &id[..12]);
    let labels = [("purpose".to_owned(), "wireshark".to_owned())];
    let started = client.start(&name, spec, labels.into(), &id, false).await?;
    Ok(started.name)
}
