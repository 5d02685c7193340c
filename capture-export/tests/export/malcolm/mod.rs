//! Malcolm as a sink.

mod form;
mod sftp;
mod stand_in;
mod watched;

use std::{collections::BTreeMap, fs::File, path::Path};

use capture_file::{CaptureReader, Item, Kind, Writer, manifest::FileEntry};

use crate::support::{Data, START, packet};

/// Link type and number of packets of a classic pcap file in memory.
fn pcap(content: &[u8]) -> (u16, u64) {
    assert_eq!(
        content[..4],
        0xa1b2_3c4d_u32.to_ne_bytes(),
        "classic pcap, not compressed"
    );
    let mut reader = CaptureReader::new(content).unwrap();
    let (mut link_type, mut packets) = (0, 0);
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Interface(interface) => link_type = interface.link_type,
            Item::Packet(_) => packets += 1,
            _ => {}
        }
    }
    (link_type, packets)
}

/// Adds a compressed file with 5 Ethernet packets, 3 of raw IP, and an interface without packets; and an empty
/// one.
fn mixed(data: &mut Data) {
    data.add("web", 1, 60);
    let directory = data.of("web");
    let name = "web-20231114-221330-000002.pcapng.zst";
    let path = directory.join(name);
    let mut writer = Writer::new(File::create(&path).unwrap(), Kind::of(&path), "test").unwrap();
    for link_type in [1, 101, 147] {
        writer
            .interface(&capture_file::Interface::new(link_type, 0))
            .unwrap();
    }
    for number in 0..8 {
        let interface = u32::from(number >= 5);
        writer
            .packet(&packet(START + number, interface, vec![0x45; 60]))
            .unwrap();
    }
    writer.finish().unwrap();
    let empty = "web-20231114-221340-000003.pcapng";
    crate::support::write_capture(&directory.join(empty), START, 0, 60);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let sizes = (size(&path), size(&directory.join(empty)));
    data.edit("web", |entries| {
        entries.push(FileEntry {
            first: Some(START.into()),
            last: Some((START + 8).into()),
            packets: Some(8),
            ..FileEntry::unknown(name.to_owned(), 2, sizes.0)
        });
        entries.push(FileEntry::unknown(empty.to_owned(), 3, sizes.1));
    });
}

/// Checks what Malcolm got of [`mixed`], by name.
fn assert_mixed(got: &BTreeMap<String, Vec<u8>>) {
    let of = |sequence: &str| {
        let of = got
            .iter()
            .filter(|(name, _)| name.contains(&format!("_{sequence}_")));
        let mut of: Vec<_> = of
            .map(|(name, content)| (pcap(content), name.clone()))
            .collect();
        of.sort();
        of
    };
    let second = of("000002");
    assert_eq!(second.len(), 2, "no file without packets: {got:?}");
    assert_eq!((second[0].0, second[1].0), ((1, 5), (101, 3)));
    assert!(
        second[0]
            .1
            .starts_with("c_n_s_web_lab_ethernet_20231114_221320_000002_"),
        "{second:?}"
    );
    assert!(
        second[1].1.starts_with("c_n_s_web_lab_rawip_"),
        "{second:?}"
    );
    assert_eq!(of("000001").len(), 1);
    assert_eq!(of("000003").len(), 0, "an empty file is not handed over");
    assert_eq!(got.len(), 3);
}
