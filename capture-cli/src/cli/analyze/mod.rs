//! `capturectl analyze`.

mod compare;
mod extract;
mod outputs;
mod reading;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use capture_analysis::{
    Filter, Hint, InputError, Inputs,
    crossing::{Capture, Comparison},
    render,
    report::Report,
};
use capture_client::model::Time;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

use self::reading::Reading;
use super::{
    Context,
    exit::{Error, Exit},
    output::{self, Format},
    pull, values,
};

/// Say what is in capture files: what went wrong, and the frames that prove it.
///
/// Files are pcap or pcapng, plain or compressed; a directory means the capture files in it, a manifest
/// those of its capture. All of them are analysed as one capture, in the order of time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AnalyzeArgs {
    /// Capture files, directories with capture files, or manifests.
    #[arg(required_unless_present = "capture", value_name = "FILE|DIR|MANIFEST")]
    inputs: Vec<PathBuf>,

    /// Instead of files: this capture, fetched from every --node first. What arrives is kept in NAME.pull/
    /// until the analysis is done.
    #[arg(long, value_name = "NAME", conflicts_with = "inputs")]
    capture: Option<String>,

    /// Also write the report as one page that needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Also write flows.csv, findings.csv, dns.csv, tls.csv and http.csv into this directory.
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,

    /// Also write a line of JSON for each conspicuous frame, in tshark's words.
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,

    /// Only packets that match, such as 'tcp port 443 and net 10.0.0.0/8'.
    #[arg(short, long, value_name = "EXPRESSION")]
    filter: Option<String>,

    /// Only packets from this time on (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    from: Option<Time>,

    /// Only packets before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    to: Option<Time>,

    /// Leave this security hint out. Repeatable, or several with commas.
    #[arg(long, value_name = "HINT", value_delimiter = ',', value_parser = hints())]
    without: Vec<Hint>,

    /// How many of each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// Compare with these files packet by packet instead: both ends of a path, or before and after.
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["html", "csv", "frames", "extract"])]
    compare: Vec<PathBuf>,

    /// Write the frames that prove this finding, by the name that the summary gives it.
    #[arg(long, value_name = "FINDING", requires = "write")]
    extract: Option<String>,

    /// With --extract: also what else its flow sent between the first of these frames and the last.
    #[arg(long, requires = "extract")]
    whole_flow: bool,

    /// The file for --extract: .pcapng or .pcap, and with .gz or .zst behind, compressed.
    #[arg(short, long, value_name = "OUT", requires = "extract")]
    write: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  capturectl analyze web.pcapng
  capturectl analyze /var/lib/capture/web.manifest.jsonl --html report.html --csv tables/
  capturectl analyze . -f 'host 10.0.0.7 and tcp port 5432' --from 2026-01-01T10:00:00Z -o json
  capturectl --node a:9443 --node b:9443 analyze --capture web --top 3
  capturectl analyze client.pcapng --compare server.pcapng
  capturectl analyze web.pcapng --extract tcp-retransmissions-1 -w bad.pcapng";

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        match &error {
            InputError::Path { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                Self::Failed(error.to_string())
            }
            _ => Self::NotFound(error.to_string()),
        }
    }
}

fn hints() -> impl clap::builder::TypedValueParser<Value = Hint> {
    PossibleValuesParser::new(Hint::ALL.map(Hint::name)).try_map(|name| {
        let mut all = Hint::ALL.into_iter();
        all.find(|hint| hint.name() == name)
            .ok_or("no security hint")
    })
}

pub(super) async fn run(context: &Context, arguments: &AnalyzeArgs) -> Result<Exit, Error> {
    let filter = arguments
        .filter
        .as_deref()
        .map(Filter::parse)
        .transpose()
        .map_err(|error| Error::Usage(format!("--filter: {error}")))?;
    let Some(capture) = &arguments.capture else {
        let inputs = Inputs::find(&arguments.inputs)?;
        return on_files(context, arguments, &inputs, filter);
    };
    let fetched = match pull::locally(context, capture).await? {
        Ok(fetched) => fetched,
        Err(exit) => return Ok(exit),
    };
    let mut inputs = Inputs::find(&[fetched.path()])?;
    inputs.names = vec![format!("capture {capture}")];
    let analysed = on_files(context, arguments, &inputs, filter);
    fetched.discard()?;
    analysed
}

fn on_files(
    context: &Context,
    arguments: &AnalyzeArgs,
    inputs: &Inputs,
    filter: Option<Filter>,
) -> Result<Exit, Error> {
    let mut reading = Reading::new(arguments, filter);
    if !arguments.compare.is_empty() {
        let others = Inputs::find(&arguments.compare)?;
        let mut comparison = Comparison::default();
        let one = reading.compared(inputs, Capture::First, &mut comparison)?;
        let other = reading.compared(&others, Capture::Other, &mut comparison)?;
        let crossing = comparison.finish();
        compare::print(context.format, &one, &other, crossing, arguments.top)?;
        return Ok(state(&one).and(state(&other)));
    }
    let mut frames = match &arguments.frames {
        Some(path) => Some(BufWriter::new(create(path)?)),
        None => None,
    };
    let report = reading.analysed(inputs, frames.as_mut())?;
    if let Some(frames) = &mut frames {
        frames.flush()?;
    }
    if let (Some(name), Some(write)) = (&arguments.extract, &arguments.write) {
        let wanted = extract::wanted(&report, name, arguments.whole_flow)?;
        return extract::run(inputs, wanted, write).map(|exit| exit.and(state(&report)));
    }
    if let Some(path) = &arguments.html {
        outputs::html(&report, arguments.top.max(100), path)?;
    }
    if let Some(directory) = &arguments.csv {
        outputs::csv(&report, directory)?;
    }
    match context.format {
        Format::Table => {
            let mut out = io::stdout().lock();
            out.write_all(render::terminal(&report, arguments.top).as_bytes())?;
            out.flush()?;
        }
        format => output::print(format, &report, String::new)?,
    }
    Ok(state(&report))
}

/// Files that were not read to their end are damaged or incomplete.
fn state(report: &Report) -> Exit {
    if report.complete {
        Exit::Done
    } else {
        Exit::Damaged
    }
}

fn create(path: &Path) -> Result<File, Error> {
    File::create(path).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}

/// For tables that go into a directory.
fn directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}
