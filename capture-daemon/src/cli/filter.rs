//! `captured filter`: checks, explains, tests and measures filters.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use capture_args::FilterArgs;
use clap::{Args, Subcommand};

use super::summary::Style;
use capture_filter::{Epilogue, bench, explain, try_on_file};
use capture_session::filters;
use capture_types::Direction;

/// Check and try a filter without recording.
#[derive(Debug, Args)]
pub(super) struct FilterCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check whether a filter is valid, and show how long its programs are or where it is wrong.
    Check(Look),
    /// Show the classic BPF and the eBPF of a filter, side by side.
    Explain(Look),
    /// Count the packets of a capture file that match: decided by the program that would be attached,
    /// run by the kernel.
    Test(Test),
    /// Measure what filters cost per packet on this machine, beside the kernel's classic socket
    /// filter.
    Bench(Bench),
}

#[derive(Debug, Args)]
struct Bench {
    /// Format of the result.
    #[arg(long, value_enum, default_value_t = Style::Text)]
    summary: Style,
}

#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    filter: FilterArgs,

    /// Link type to compile for, by libpcap's name [default: EN10MB and RAW to check, EN10MB to
    /// explain].
    #[arg(long, value_name = "NAME")]
    linktype: Option<String>,
}

#[derive(Debug, Args)]
struct Test {
    #[command(flatten)]
    filter: FilterArgs,

    /// A pcap or pcapng file, plain or compressed with gzip or zstd.
    #[arg(long, value_name = "FILE")]
    read: PathBuf,

    /// Format of the result.
    #[arg(long, value_enum, default_value_t = Style::Text)]
    summary: Style,
}

pub(super) fn run(command: &FilterCommand) -> anyhow::Result<ExitCode> {
    // Like tcpdump.
    filters::resolve_names(true);
    let mut out = io::stdout().lock();
    match &command.action {
        Action::Check(look) => check(&mut out, look),
        Action::Explain(look) => {
            let link_type = look.linktype.as_deref().unwrap_or("EN10MB");
            let filter = filters::compiler().compile_named(&look.filter.filter()?.0, link_type)?;
            write!(out, "{}", explain(&filter, &filter.program(EPILOGUE)))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Bench(bench) => {
            let costs = bench::measure()?;
            match bench.summary {
                Style::Json => writeln!(out, "{}", serde_json::to_string(&costs)?)?,
                Style::Text => print_costs(&mut out, &costs)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Test(test) => {
            let (spec, targets) = test.filter.filter()?;
            let totals = try_on_file(filters::compiler(), &spec, &targets, &test.read)
                .with_context(|| test.read.display().to_string())?;
            match test.summary {
                Style::Json => writeln!(out, "{}", serde_json::to_string(&totals)?)?,
                Style::Text => {
                    let (matched, packets) = (totals.matched, totals.packets);
                    writeln!(out, "{matched} of {packets} packets match")?;
                    if totals.interpreted > 0 {
                        writeln!(
                            out,
                            "{} of them the kernel's test run could not take; the same program was \
                             interpreted for them",
                            totals.interpreted
                        )?;
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_costs(out: &mut impl io::Write, costs: &[bench::Cost]) -> io::Result<()> {
    let line = |out: &mut dyn io::Write, name: &str, cells: [&str; 6]| {
        let cells = cells.map(|cell| format!("{cell:>12}")).concat();
        writeln!(out, "{name:<18}{cells}")
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |ns| format!("{ns:.0}"));
    writeln!(
        out,
        "nanoseconds per packet; over: more than an empty program; classic: as a socket filter"
    )?;
    line(
        out,
        "",
        ["no match", "over", "classic", "match", "over", "classic"],
    )?;
    for cost in costs {
        let of = |side: Option<bench::Nanoseconds>| {
            [
                number(side.map(|side| side.all)),
                number(side.map(|side| side.over_empty)),
                number(side.and_then(|side| side.classic)),
            ]
        };
        let [no_match, over, classic] = of(Some(cost.no_match));
        let [matching, over2, classic2] = of(cost.matching);
        line(
            out,
            &cost.filter,
            [&no_match, &over, &classic, &matching, &over2, &classic2],
        )?;
    }
    Ok(())
}

/// Any epilogue does for counting instructions.
const EPILOGUE: Epilogue = Epilogue {
    index: 0,
    direction: Direction::In,
};

fn check(out: &mut impl io::Write, look: &Look) -> anyhow::Result<ExitCode> {
    let (spec, _) = look.filter.filter()?;
    let link_types = match &look.linktype {
        Some(name) => vec![name.as_str()],
        None => vec!["EN10MB", "RAW"],
    };
    let filters = link_types
        .into_iter()
        .map(|name| Ok((name, filters::compiler().compile_named(&spec, name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    writeln!(out, "valid")?;
    for (name, filter) in filters {
        if filter
            .classic()
            .iter()
            .any(|(_, program)| program.matches_nothing())
        {
            writeln!(
                out,
                "{name}: matches nothing, because packets of this link type lack what it tests"
            )?;
            continue;
        }
        let classic: usize = filter
            .classic()
            .iter()
            .map(|(_, program)| program.instructions().len())
            .sum();
        let ebpf = filter.program(EPILOGUE).instructions().len();
        writeln!(
            out,
            "{name}: {classic} instructions of classic BPF, {ebpf} of eBPF"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
