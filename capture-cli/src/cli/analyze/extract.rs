//! `capturectl analyze --extract`: the packets of a finding as a file of their own.

use std::{io::BufWriter, path::Path};

use capture_analysis::{Inputs, Wanted, report::Report};
use capture_file::{Kind, Writer};

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
        wanted,
    } = extract;
    let out = BufWriter::new(create(path)?);
    let writer = Writer::new(out, Kind::of(path), &comment)?;
    let written = capture_analysis::extract(&inputs.files, wanted, writer)?;
    eprintln!("{written} packets of {name} written to {}", path.display());
    Ok(Exit::Done)
}
