//! Measures the recorder against tcpdump and dumpcap: same traffic, same run, equal buffers.

mod analyze;
mod control;
mod export;
mod filter;
mod goals;
mod loss;
mod machine;
mod peer;
mod program;
mod report;
mod stream;
mod way;
mod web;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use serde::Serialize;

/// Measures `captured` against tcpdump and dumpcap in separate network namespaces: packets lost, CPU
/// per packet and per byte, time added to each packet's path, remaining throughput of a TCP stream,
/// memory; the cost of filters; response times of the daemon; the cost of analysing a file compared
/// with tshark and capinfos, and of making documents of it compared with tshark; the web server, from an upload to its
/// report. One core sends, another records. The machine should be idle otherwise.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  capture-bench --quick
  capture-bench --json bench.json --directory /var/tmp
  capture-bench --only loss --repeat 5
  capture-bench --only analyze")]
pub(crate) struct Arguments {
    /// Fewer rates, fewer packets, each once: two minutes instead of fifteen
    #[arg(long)]
    quick: bool,
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory for the recorders' files; on a disk, not in memory
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    directory: PathBuf,
    /// Number of repetitions of each measurement; the median counts
    #[arg(long, value_name = "N")]
    repeat: Option<usize>,
    /// Packets in each measurement of losses and CPU; with more packets, the cost of the start matters less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    packets: Option<u32>,
    /// Measure losses and CPU only with packets of this many bytes; repeatable
    #[arg(long, value_name = "BYTES")]
    length: Vec<u32>,
    /// Run only this part; repeatable
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Loss,
    Way,
    Stream,
    Program,
    Filter,
    Control,
    Analyze,
    Export,
    Web,
}

impl Arguments {
    fn repeat(&self) -> usize {
        self.repeat.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    fn packets(&self) -> u32 {
        self.packets
            .unwrap_or(if self.quick { 1_000_000 } else { 2_000_000 })
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// All results; parts that were not measured are absent and never 0.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    machine: machine::Machine,
    loss: Vec<loss::Row>,
    way: Vec<way::Row>,
    stream: Vec<stream::Row>,
    program: Vec<program::Row>,
    filter: Vec<filter::Row>,
    control: Vec<control::Row>,
    analyze: Vec<analyze::Row>,
    export: Vec<export::Row>,
    web: web::Measured,
    goals: Vec<goals::Goal>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !rustix::process::geteuid().is_root() {
        bail!("measuring needs root: network namespaces and eBPF");
    }
    // Other load on the machine is not to be measured; the recorders inherit this.
    rustix::process::setpriority_process(None, -20).context("raising the own priority")?;
    let mut results = Results {
        machine: machine::Machine::describe(&arguments.directory)?,
        ..Results::default()
    };
    println!("{}", report::machine(&results.machine));
    if arguments.wants(Part::Loss) {
        results.loss = loss::measure(&arguments)?;
        println!("{}", report::loss(&results.loss));
    }
    if arguments.wants(Part::Way) {
        results.way = way::measure(&arguments)?;
        println!("{}", report::way(&results.way));
    }
    if arguments.wants(Part::Stream) {
        results.stream = stream::measure(&arguments)?;
        println!("{}", report::stream(&results.stream));
    }
    if arguments.wants(Part::Program) {
        results.program = program::measure(&arguments)?;
        println!("{}", report::program(&results.program));
    }
    if arguments.wants(Part::Filter) {
        results.filter = filter::measure()?;
        println!("{}", report::filter(&results.filter));
    }
    if arguments.wants(Part::Control) {
        results.control = control::measure(&arguments)?;
        println!("{}", report::control(&results.control));
    }
    if arguments.wants(Part::Analyze) {
        results.analyze = analyze::measure(&arguments)?;
        println!("{}", report::analyze(&results.analyze));
    }
    if arguments.wants(Part::Export) {
        results.export = export::measure(&arguments)?;
        println!("{}", report::export(&results.export));
    }
    if arguments.wants(Part::Web) {
        results.web = web::measure(&arguments)?;
        println!("{}", report::web(&results.web));
    }
    results.goals = goals::judge(&results);
    println!("{}", report::goals(&results.goals));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&results)?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The lower quartile: for costs, to which other load on the machine only ever adds.
pub(crate) fn lower_quartile(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied()
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
