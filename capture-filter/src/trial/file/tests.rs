use std::{borrow::Cow, io::Write as _, time::Duration};

use pcap::{Capture, Linktype};
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock, interface_description::InterfaceDescriptionBlock,
        },
    },
};

use super::{TrialTotals, try_on_file};
use crate::{Compiler, samples};
use capture_tests::gate;
use capture_types::{FilterSpec, TargetSet};

#[test]
fn a_file_is_counted_as_libpcap_counts_it() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let raw = Linktype::from_name("RAW").unwrap();
    let kinds = [
        (DataLink::ETHERNET, Linktype::ETHERNET),
        (DataLink::RAW, raw),
    ];
    // Some too short and some too long for the kernel's test run.
    let packets: Vec<(usize, Vec<u8>)> = [
        samples::many(10, 300, |random| samples::ethernet(random, 0)),
        samples::many(11, 300, samples::raw),
    ]
    .into_iter()
    .enumerate()
    .flat_map(|(kind, packets)| packets.into_iter().map(move |packet| (kind, packet)))
    .enumerate()
    .map(|(number, (kind, mut packet))| {
        match number % 10 {
            0 => packet.truncate(12),
            1 => packet.resize(9000, 7),
            _ => {}
        }
        (kind, packet)
    })
    .collect();

    let mut writer = PcapNgWriter::new(Vec::new()).unwrap();
    for (linktype, _) in kinds {
        writer
            .write_pcapng_block(InterfaceDescriptionBlock {
                linktype,
                snaplen: 0,
                options: Vec::new(),
            })
            .unwrap();
    }
    for (kind, packet) in &packets {
        writer
            .write_pcapng_block(EnhancedPacketBlock {
                interface_id: *kind as u32,
                timestamp: Duration::ZERO,
                original_len: packet.len() as u32,
                data: Cow::Borrowed(packet),
                options: Vec::new(),
            })
            .unwrap();
    }
    let plain = writer.into_inner();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let files = [
        plain.clone(),
        gzip.finish().unwrap(),
        zstd::encode_all(&plain[..], 1).unwrap(),
    ];

    let compiler = Compiler::in_this_process();
    for expression in ["tcp port 80", "host 10.0.0.1", "len > 1000", "arp", "vlan"] {
        let matched = packets
            .iter()
            .filter(|(kind, packet)| {
                Capture::dead(kinds[*kind].1)
                    .unwrap()
                    .compile(expression, true)
                    .is_ok_and(|program| {
                        // Expressions other than `vlan` do not look at the outer tag.
                        let untagged = match kind {
                            0 if expression != "vlan" => samples::without_tag(packet),
                            _ => None,
                        };
                        program.filter(untagged.as_deref().unwrap_or(packet))
                    })
            })
            .count();
        for bytes in &files {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            let spec = FilterSpec::expression(expression);
            let totals = try_on_file(&compiler, &spec, &TargetSet::default(), file.path()).unwrap();
            assert_eq!(
                (totals.packets, totals.matched),
                (packets.len() as u64, matched as u64),
                "{expression}"
            );
            assert!(totals.interpreted >= 120, "{totals:?}");
            assert!(totals.interpreted < totals.packets / 2, "{totals:?}");
        }
    }
}

#[test]
fn verdicts_as_json_have_the_two_counts() {
    let totals = TrialTotals {
        packets: 7,
        matched: 3,
        interpreted: 1,
    };
    assert_eq!(
        serde_json::to_string(&totals).unwrap(),
        r#"{"packets":7,"matched":3}"#
    );
}
