//! Writes all packets of several files, by time.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write as _},
};

use capture_file::{Input, Kind, Writer};

use super::{
    extract::PACKETS,
    order::{Failure, Order, Summary, Worked},
};

/// The names of an order are the nodes of its files.
pub(super) fn run(order: &Order) -> Worked {
    let nodes: BTreeSet<&String> = order.names.iter().collect();
    let nodes: Vec<String> = nodes.into_iter().cloned().collect();
    let inputs = order.inputs.iter().zip(&order.names).map(|(path, name)| {
        let node = nodes.iter().position(|node| node == name);
        Input {
            path: path.clone(),
            node: node.unwrap_or(0),
            first: None,
            growing: false,
        }
    });
    let merged = File::create(order.output.join(PACKETS))
        .map_err(|error| error.to_string())
        .and_then(|file| {
            let writer = Writer::new(BufWriter::new(file), Kind::PCAPNG, "")
                .map_err(|error| error.to_string())?;
            let (merged, mut out) = capture_file::merge(inputs.collect(), &nodes, writer, || ())
                .map_err(|error| error.to_string())?;
            out.flush().map_err(|error| error.to_string())?;
            Ok(merged)
        });
    match merged {
        Ok(merged) => Ok(Summary {
            packets: merged.packets,
            complete: true,
            ..Summary::default()
        }),
        Err(problem) => Err(Failure::new(
            format!("the files cannot be merged: {problem}"),
            "download the files one by one",
        )),
    }
}
