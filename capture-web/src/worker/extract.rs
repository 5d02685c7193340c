//! Writes the frames that prove a finding.

use std::{fs::File, io::BufWriter};

use capture_analysis::Wanted;
use capture_file::{Kind, Writer};

use super::{
    analyse,
    order::{Failure, Order, Summary, Worked},
};

/// The file in the output directory.
pub const PACKETS: &str = "packets.pcapng";
/// Frames that the findings of a report may keep in all: 16 bytes each.
const KEPT_FRAMES: usize = 4_000_000;

pub(super) fn run(order: &Order, finding: &str, progress: impl Fn(u64, u64)) -> Worked {
    let (report, _) = analyse::read(order, KEPT_FRAMES, progress);
    let found = report.findings.iter().find(|one| one.id == finding);
    let Some(found) = found else {
        return Err(Failure::new(
            format!("the report has no finding {finding:?}"),
            "take the id of a finding from the report",
        ));
    };
    let wanted = Wanted::frames_of(found).unwrap_or_else(|| Wanted::between(found));
    let files = analyse::ordered(order).into_iter();
    let files: Vec<_> = files.map(|(path, _)| path.clone()).collect();
    let comment = format!("{}: {}", found.id, found.title);
    let written = File::create(order.output.join(PACKETS))
        .map_err(|error| error.to_string())
        .and_then(|file| {
            let writer = Writer::new(BufWriter::new(file), Kind::PCAPNG, &comment)
                .map_err(|error| error.to_string())?;
            capture_analysis::extract(&files, wanted, writer).map_err(|error| error.to_string())
        });
    match written {
        Ok(packets) => Ok(Summary {
            packets,
            complete: true,
            ..Summary::default()
        }),
        Err(problem) => Err(Failure::new(
            format!("the packets cannot be written: {problem}"),
            "look for room on the disk",
        )),
    }
}
