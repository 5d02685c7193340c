//! `capturectl analyze --extract`: the packets of a finding as a file of their own.

use std::{collections::HashMap, fs::File, io::BufWriter, path::Path};

use capture_analysis::{Inputs, Packet, Wanted, report::Report};
use capture_file::{CaptureReader, Item, Kind, Writer};

use super::{create, reading::KEPT_FRAMES};
use crate::cli::exit::{Error, Exit};

/// What is to be written of a finding.
pub(super) struct Extract {
    name: String,
    comment: String,
    wanted: Wanted,
}

pub(super) fn wanted(report: &Report, name: &str, whole_flow: bool) -> Result<Extract, Error> {
    let Some(finding) = report.findings.iter().find(|finding| finding.id == name) else {
        let known: Vec<_> = report
            .findings
            .iter()
            .map(|finding| finding.id.as_str())
            .collect();
        return Err(Error::NotFound(format!(
            "no finding {name:?}; there are: {}",
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )));
    };
    let wanted = if whole_flow {
        Wanted::between(finding)
    } else {
        Wanted::frames_of(finding).ok_or_else(|| {
            Error::Failed(format!(
                "{name} has {} frames, and the findings together more than the {KEPT_FRAMES} that are \
                 remembered: use --whole-flow, or --from and --to",
                finding.evidence.count
            ))
        })?
    };
    Ok(Extract {
        name: finding.id.clone(),
        comment: format!("{}: {}", finding.id, finding.title),
        wanted,
    })
}

pub(super) fn run(inputs: &Inputs, extract: Extract, path: &Path) -> Result<Exit, Error> {
    let Extract {
        name,
        comment,
        mut wanted,
    } = extract;
    let out = BufWriter::new(create(path)?);
    let mut writer = Writer::new(out, Kind::of(path), &comment)?;
    let (mut described, mut written) = (0, 0u64);
    for (number, file) in (0u32..).zip(&inputs.files) {
        if wanted.is_done(number) {
            break;
        }
        let opened = File::open(file)?;
        let Ok(mut reader) = CaptureReader::new(opened) else {
            continue;
        };
        let mut interfaces = Vec::new();
        // The numbers in the new file of interfaces with a packet in it.
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        // What is damaged was told of by the report.
        while let Ok(Some(item)) = reader.next_item() {
            let found = match item {
                Item::Interface(interface) => {
                    interfaces.push(interface);
                    continue;
                }
                Item::Packet(found) => found,
                _ => continue,
            };
            let Some(interface) = interfaces.get(found.interface as usize) else {
                continue;
            };
            let packet = Packet {
                timestamp: found.timestamp,
                interface: found.interface,
                link_type: interface.link_type,
                original_length: found.original_length,
                data: found.data,
                file: number,
                frame: found.number,
            };
            if !wanted.wants(&packet) {
                continue;
            }
            let mut packet = found.to_buf();
            packet.interface = match numbers.get(&found.interface) {
                Some(number) => *number,
                None => {
                    writer.interface(interface)?;
                    numbers.insert(found.interface, described);
                    described += 1;
                    described - 1
                }
            };
            writer.packet(&packet)?;
            written += 1;
        }
    }
    writer.finish()?;
    eprintln!("{written} packets of {name} written to {}", path.display());
    Ok(Exit::Done)
}
