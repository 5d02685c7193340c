//! `captured -r FILE`: the packets of a capture file as lines.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use capture_args::{FilterArgs, console::plain};
use capture_file::{CaptureReader, Interface, Item};
use capture_text::{Line, Way};
use capture_types::{Direction, TargetKinds};
use pcap::{BpfProgram, Linktype};

/// An interface of the file.
struct Known {
    name: String,
    link_type: u32,
    /// The filter for its packets; `None` shows all.
    filter: Option<BpfProgram>,
}

/// Prints the matching packets, up to `count` if given.
pub(super) fn print(
    path: &Path,
    filter: &FilterArgs,
    most: Option<u64>,
    numbered: bool,
) -> anyhow::Result<ExitCode> {
    let (spec, targets) = filter.filter()?;
    if targets.kinds() != TargetKinds::default() || spec.inner.is_some() {
        bail!("-r takes an expression only: write --host and --port as `host` and `port` in it");
    }
    let name = path.display().to_string();
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| name.clone())?)
    };
    let reader = CaptureReader::new(input).with_context(|| name.clone())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = show(reader, spec.expression.as_deref(), most, numbered, &mut out);
    // Packets read so far are shown even if the rest is damaged.
    let flushed = out.flush().map_err(anyhow::Error::from);
    let done = shown.and(flushed).map(|()| ExitCode::SUCCESS);
    super::unless_closed(done).context(name)
}

fn show(
    mut reader: CaptureReader,
    expression: Option<&str>,
    most: Option<u64>,
    numbered: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut interfaces: Vec<Known> = Vec::new();
    let mut left = most.unwrap_or(u64::MAX);
    while left > 0 {
        match reader.next_item()? {
            None => break,
            Some(Item::Interface(interface)) => interfaces.push(known(&interface, expression)?),
            Some(Item::Packet(packet)) => {
                let Some(interface) = interfaces.get(packet.interface as usize) else {
                    continue;
                };
                let filter = interface.filter.as_ref();
                if filter.is_some_and(|filter| !filter.filter(packet.data)) {
                    continue;
                }
                left -= 1;
                if numbered {
                    write!(out, "{:5}  ", packet.number)?;
                }
                let line = Line {
                    timestamp: packet.timestamp,
                    capture: None,
                    interface: &interface.name,
                    way: packet.direction().map(|direction| match direction {
                        Direction::In => Way::In,
                        Direction::Out => Way::Out,
                    }),
                    link_type: interface.link_type,
                    original_length: packet.original_length,
                    bytes: packet.data,
                };
                writeln!(out, "{line}")?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn known(interface: &Interface, expression: Option<&str>) -> anyhow::Result<Known> {
    let link_type = i32::from(interface.link_type);
    let filter = match expression {
        None => None,
        Some(expression) => {
            let compiler = pcap::Capture::dead(Linktype(data_link(link_type)))?;
            let program = compiler.compile(expression, true);
            Some(program.with_context(|| format!("filter {expression:?}"))?)
        }
    };
    Ok(Known {
        name: interface
            .name()
            .map_or_else(|| "-".to_owned(), |name| plain(&name)),
        link_type: interface.link_type.into(),
        filter,
    })
}

/// libpcap's number of a file's link type: they differ for raw IP (`DLT_RAW` is 12 on Linux).
const fn data_link(link_type: i32) -> i32 {
    match link_type {
        101 => 12,
        other => other,
    }
}
