//! `capturectl analyze`.

mod compare;
mod extract;
mod outputs;

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal as _, Write as _},
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use capture_analysis::{
    Analysis, Filter, Hooks, InputError, Inputs, Packet, Progress, Settings, Source, analyse,
    render, report::Report,
};
use capture_client::model::Time;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Context,
    exit::{Error, Exit},
    output::{self, Format},
    values,
};

/// Say what is in capture files: what went wrong, and the frames that prove it.
///
/// Files are pcap or pcapng, plain or compressed; a directory means the capture files in it, a manifest
/// those of its capture. All of them are analysed as one capture, in the order of time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AnalyzeArgs {
    /// Capture files, directories with capture files, or manifests.
    #[arg(required = true, value_name = "FILE|DIR|MANIFEST")]
    inputs: Vec<PathBuf>,

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

    /// How many of each list.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// Compare with these files instead: before and after, or the other end of a path.
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["html", "csv", "frames", "extract"])]
    compare: Vec<PathBuf>,

    /// Write the packets of this finding, by the name that the summary gives it.
    #[arg(long, value_name = "FINDING", requires = "write")]
    extract: Option<String>,

    /// The file for --extract: .pcapng or .pcap, and with .gz or .zst behind, compressed.
    #[arg(short, long, value_name = "OUT", requires = "extract")]
    write: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  capturectl analyze web.pcapng
  capturectl analyze /var/lib/capture/web.manifest.jsonl --html report.html --csv tables/
  capturectl analyze . -f 'host 10.0.0.7 and tcp port 5432' --from 2026-01-01T10:00:00Z -o json
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

pub(super) fn run(context: &Context, arguments: &AnalyzeArgs) -> Result<Exit, Error> {
    let filter = arguments
        .filter
        .as_deref()
        .map(Filter::parse)
        .transpose()
        .map_err(|error| Error::Usage(format!("--filter: {error}")))?;
    let inputs = Inputs::find(&arguments.inputs)?;
    if !arguments.compare.is_empty() {
        let others = Inputs::find(&arguments.compare)?;
        let one = analysed(arguments, &inputs, filter.clone(), None)?;
        let other = analysed(arguments, &others, filter, None)?;
        compare::print(context.format, &one, &other, arguments.top)?;
        return Ok(state(&one).and(state(&other)));
    }
    let mut frames = match &arguments.frames {
        Some(path) => Some(BufWriter::new(create(path)?)),
        None => None,
    };
    let report = analysed(arguments, &inputs, filter.clone(), frames.as_mut())?;
    if let Some(frames) = &mut frames {
        frames.flush()?;
    }
    if let (Some(name), Some(write)) = (&arguments.extract, &arguments.write) {
        return extract::run(&inputs, &report, name, write).map(|exit| exit.and(state(&report)));
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

fn create(path: &std::path::Path) -> Result<File, Error> {
    File::create(path).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}

fn analysed(
    arguments: &AnalyzeArgs,
    inputs: &Inputs,
    filter: Option<Filter>,
    frames: Option<&mut BufWriter<File>>,
) -> Result<Report, Error> {
    let mut analysis = Analysis::new(&Settings::default());
    // The sink must be `'static`: lines are gathered here and written between packets.
    let lines = Arc::new(Mutex::new(Vec::new()));
    if frames.is_some() {
        let lines = Arc::clone(&lines);
        analysis = analysis.with_frames(Box::new(move |packet, flags| {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push((packet.file, packet.frame, flags));
        }));
    }
    let names: Vec<String> = inputs
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut sink = frames.map(|file| outputs::Frames::new(file, &names, Arc::clone(&lines)));
    let mut failed = None;
    let bar = Bar::new(inputs.bytes);
    let (from, to) = (nanoseconds(arguments.from), nanoseconds(arguments.to));
    let mut hooks = Hooks {
        recorder: inputs.recorder.clone(),
        ..Hooks::default()
    };
    let mut filter = filter;
    hooks.filter = Box::new(move |packet: &Packet<'_>| {
        from.is_none_or(|from| packet.timestamp >= from)
            && to.is_none_or(|to| packet.timestamp < to)
            && filter.as_mut().is_none_or(|filter| filter.matches(packet))
    });
    hooks.progress = Box::new(|progress| {
        bar.set(progress);
        if let Some(sink) = &mut sink
            && let Err(error) = sink.write()
        {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let files = inputs.files.iter().zip(&names).map(|(path, name)| {
        let source = File::open(path).map(|input| Source {
            name: name.clone(),
            input: Box::new(input),
        });
        (name.clone(), source)
    });
    let mut report = analyse(analysis, files, &mut hooks);
    drop(hooks);
    if let Some(sink) = &mut sink {
        sink.write()?;
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    bar.clear();
    report.notes.extend(inputs.notes.iter().cloned());
    Ok(report)
}

fn nanoseconds(time: Option<Time>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.into_duration().as_nanos()).ok())
}

/// A progress bar on stderr, if the reading takes longer than a second.
struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Bar {
    fn new(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ) {
            bar.set_style(style);
        }
        Self {
            bar,
            begun: Instant::now(),
        }
    }

    fn set(&self, progress: Progress) {
        let shown = self.begun.elapsed() >= Duration::from_millis(900);
        if shown && self.bar.is_hidden() && io::stderr().is_terminal() {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        self.bar.set_position(progress.bytes);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// For tables that go into a directory.
fn directory(path: &std::path::Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}
