//! A capture file as files that Malcolm takes: unpacked, one per link type, none without packets.

use std::{collections::BTreeMap, io::BufWriter, path::Path};

use capture_file::{
    CaptureReader, Interface, Item, Kind, PacketBuf, WriteError, Writer, name::Codec,
};
use capture_types::Format as FileFormat;
use tempfile::NamedTempFile;

use super::Format;
use crate::{file::FinishedFile, sink::Failure};

/// Link types in one file; a file with more is damaged or hostile.
const MOST_LINK_TYPES: usize = 16;
/// Interfaces in one file, likewise.
const MOST_INTERFACES: usize = 65_536;

/// A converted file; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Converted {
    pub(super) file: NamedTempFile,
    pub(super) link_type: u16,
    pub(super) bytes: u64,
}

/// Files of one link type that are being written.
struct Output {
    writer: Writer<BufWriter<NamedTempFile>>,
    /// The number of the next interface in it.
    interfaces: u32,
}

/// Converts a file. Blocks.
///
/// # Errors
/// The file is gone, damaged or has lines of text; or there is no space for the result.
pub(super) fn convert(
    file: &FinishedFile,
    format: Format,
    directory: &Path,
) -> Result<Vec<Converted>, Failure> {
    if Kind::of(&file.path).format == FileFormat::Text {
        return Err(Failure::reject(
            "it has lines of text, and Malcolm takes packets only",
        ));
    }
    let opened = file.open().map_err(|error| Failure::of_file(&error))?;
    let damaged =
        |error: capture_file::ReadError| Failure::reject(format!("{:?}: {error}", file.entry.file));
    let mut reader = CaptureReader::new(opened).map_err(damaged)?;
    let mut interfaces: Vec<(Interface, Option<u32>)> = Vec::new();
    let mut outputs: BTreeMap<u16, Output> = BTreeMap::new();
    while let Some(item) = reader.next_item().map_err(damaged)? {
        match item {
            Item::Interface(interface) => {
                if interfaces.len() == MOST_INTERFACES {
                    return Err(Failure::reject(format!(
                        "it has more than {MOST_INTERFACES} interfaces"
                    )));
                }
                interfaces.push((interface, None));
            }
            Item::Packet(packet) => {
                let packet = packet.to_buf();
                write(packet, format, directory, &mut interfaces, &mut outputs)?;
            }
            Item::Section(_) | Item::Statistics(_) | Item::Names(_) => {}
        }
    }
    let mut converted = Vec::new();
    for (link_type, output) in outputs {
        let written = output.writer.finish().map_err(failed)?;
        let file = written
            .into_inner()
            .map_err(|error| failed(error.into_error().into()))?;
        let bytes = file
            .as_file()
            .metadata()
            .map_err(|error| failed(error.into()))?
            .len();
        converted.push(Converted {
            file,
            link_type,
            bytes,
        });
    }
    Ok(converted)
}

fn write(
    mut packet: PacketBuf,
    format: Format,
    directory: &Path,
    interfaces: &mut [(Interface, Option<u32>)],
    outputs: &mut BTreeMap<u16, Output>,
) -> Result<(), Failure> {
    let Some((interface, number)) = interfaces.get_mut(packet.interface as usize) else {
        return Err(Failure::reject(
            "a packet belongs to no interface: it is damaged",
        ));
    };
    let link_type = interface.link_type;
    if !outputs.contains_key(&link_type) {
        if outputs.len() == MOST_LINK_TYPES {
            return Err(Failure::reject(format!(
                "it has more than {MOST_LINK_TYPES} link types"
            )));
        }
        let file = NamedTempFile::with_prefix_in("converted-", directory)
            .map_err(|error| failed(error.into()))?;
        let kind = Kind {
            format: format.of_file(),
            codec: Codec::Plain,
        };
        let writer = Writer::new(
            BufWriter::with_capacity(1 << 18, file),
            kind,
            "converted for Malcolm",
        )
        .map_err(failed)?;
        outputs.insert(
            link_type,
            Output {
                writer,
                interfaces: 0,
            },
        );
    }
    let Some(output) = outputs.get_mut(&link_type) else {
        return Ok(());
    };
    let number = match *number {
        Some(number) => number,
        None => {
            output.writer.interface(interface).map_err(failed)?;
            let next = output.interfaces;
            output.interfaces += 1;
            *number = Some(next);
            next
        }
    };
    packet.interface = number;
    output.writer.packet(&packet).map_err(failed)
}

fn failed(error: WriteError) -> Failure {
    match error {
        WriteError::Io(error) => Failure::retry(format!("converting it for Malcolm: {error}")),
        other => Failure::reject(other.to_string()),
    }
}
