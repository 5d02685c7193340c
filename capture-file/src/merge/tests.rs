use std::{collections::BTreeMap, path::Path};

use super::{super::Kind, *};

fn interface(name: &str) -> Interface {
    Interface::new(1, 0).named(name)
}

/// A file with packets as (interface, timestamp); each packet's bytes contain its origin.
fn write(path: &Path, interfaces: &[&str], packets: &[(u32, u64)]) {
    let kind = Kind::of(path);
    let mut writer = Writer::new(Vec::new(), kind, "a test").unwrap();
    for name in interfaces {
        writer.interface(&interface(name)).unwrap();
    }
    for (interface, timestamp) in packets {
        let from = format!("{} {}", interfaces[*interface as usize], timestamp);
        writer
            .packet(&PacketBuf {
                timestamp: *timestamp,
                interface: *interface,
                original_length: 64,
                data: from.into_bytes(),
                ..PacketBuf::default()
            })
            .unwrap();
    }
    std::fs::write(path, writer.finish().unwrap()).unwrap();
}

fn input(path: &Path, node: usize, first: Option<u64>) -> Input {
    Input {
        path: path.to_owned(),
        node,
        first,
        growing: false,
    }
}

/// The merged packets as (interface's name, timestamp, bytes), and the counts.
fn merged(inputs: Vec<Input>, nodes: &[&str]) -> (Vec<(String, u64, String)>, Merged) {
    let nodes: Vec<_> = nodes.iter().map(|&node| node.to_owned()).collect();
    let writer = Writer::new(Vec::new(), Kind::PCAPNG, "merged").unwrap();
    let mut reported = 0;
    let (merged, bytes) = merge(inputs, &nodes, writer, || reported += 1).unwrap();
    assert_eq!(reported, merged.packets);
    let mut reader = CaptureReader::new(&bytes[..]).unwrap();
    let mut names = Vec::new();
    let mut packets = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Interface(interface) => names.push(interface.name().unwrap()),
            Item::Packet(packet) => packets.push((
                names[packet.interface as usize].clone(),
                packet.timestamp,
                String::from_utf8(packet.data.to_vec()).unwrap(),
            )),
            _ => {}
        }
    }
    (packets, merged)
}

#[test]
fn files_of_several_nodes_become_one_in_the_order_of_time_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write(
        &path("a1.pcapng"),
        &["eth0", "eth1"],
        &[(0, 10), (1, 30), (0, 50)],
    );
    // The next file of the same node lists its interfaces in another order, and is compressed.
    write(
        &path("a2.pcapng.gz"),
        &["eth1", "eth0"],
        &[(0, 60), (1, 70)],
    );
    write(&path("b1.pcap.zst"), &["lo"], &[(0, 5), (0, 20), (0, 65)]);
    write(&path("b2.pcapng"), &["eth0"], &[(0, 40)]);
    let inputs = vec![
        input(&path("a2.pcapng.gz"), 0, Some(60)),
        input(&path("b2.pcapng"), 1, Some(40)),
        input(&path("a1.pcapng"), 0, Some(10)),
        input(&path("b1.pcap.zst"), 1, None),
    ];
    let (packets, outcome) = merged(inputs, &["a", "b"]);
    assert_eq!(
        outcome,
        Merged {
            packets: 9,
            out_of_order: 0
        }
    );
    let times: Vec<_> = packets.iter().map(|(_, time, _)| *time).collect();
    assert_eq!(times, [5, 10, 20, 30, 40, 50, 60, 65, 70]);
    let at: BTreeMap<_, _> = packets
        .iter()
        .map(|(name, time, _)| (*time, name.as_str()))
        .collect();
    assert_eq!(at[&10], "a:eth0");
    assert_eq!(at[&30], "a:eth1");
    assert_eq!(at[&60], "a:eth1", "renumbered");
    assert_eq!(at[&70], "a:eth0");
    assert_eq!(
        at[&40], "b:eth0",
        "not the other node's interface of this name"
    );
    assert_eq!(at[&5], "b", "a pcap file has no interface names");
    for (_, time, bytes) in &packets {
        assert!(bytes.ends_with(&format!(" {time}")), "{bytes} at {time}");
    }
}

#[test]
fn one_nodes_interfaces_keep_their_names_and_stand_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut inputs = Vec::new();
    for number in 0..200_u64 {
        let path = directory.path().join(format!("{number}.pcapng"));
        write(&path, &["eth0"], &[(0, number * 10), (0, number * 10 + 5)]);
        inputs.push(input(&path, 0, Some(number * 10)));
    }
    inputs.reverse();
    let (packets, outcome) = merged(inputs, &["only"]);
    assert_eq!(
        outcome,
        Merged {
            packets: 400,
            out_of_order: 0
        }
    );
    assert!(packets.iter().all(|(name, _, _)| name == "eth0"));
    assert!(packets.is_sorted_by_key(|(_, time, _)| *time));
}

#[test]
fn packets_that_overtook_each_other_are_put_in_order_and_a_clock_step_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    // Neighbours swapped; then the clock is set back by more than can be reordered.
    let mut packets: Vec<_> = (0..5000_u64).map(|n| (0, 1_000_000 + (n ^ 1))).collect();
    write(&path, &["eth0"], &packets);
    let (sorted, outcome) = merged(vec![input(&path, 0, None)], &["a"]);
    assert!(sorted.is_sorted_by_key(|(_, time, _)| *time));
    assert_eq!(
        outcome,
        Merged {
            packets: 5000,
            out_of_order: 0
        }
    );

    packets.extend((0..5000_u64).map(|n| (0, n)));
    write(&path, &["eth0"], &packets);
    let (all, outcome) = merged(vec![input(&path, 0, None)], &["a"]);
    assert_eq!(all.len(), 10_000);
    assert!(outcome.out_of_order > 0);
}

#[test]
fn a_growing_file_may_be_cut_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    write(&path, &["eth0"], &[(0, 1), (0, 2)]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let growing = Input {
        growing: true,
        ..input(&path, 0, None)
    };
    let (packets, _) = merged(vec![growing], &["a"]);
    assert_eq!(packets.len(), 1);

    let writer = Writer::new(Vec::new(), Kind::PCAPNG, "").unwrap();
    let whole = input(&path, 0, None);
    let error = merge(vec![whole], &["a".to_owned()], writer, || ()).unwrap_err();
    assert!(error.to_string().contains("a.pcapng"), "{error}");
}

#[test]
fn a_pcap_file_refuses_a_second_link_type() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    let mut writer = Writer::new(Vec::new(), Kind::PCAPNG, "").unwrap();
    for link_type in [1, 101] {
        writer.interface(&Interface::new(link_type, 0)).unwrap();
    }
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let writer = Writer::new(Vec::new(), Kind::of("out.pcap".as_ref()), "").unwrap();
    let error = merge(
        vec![input(&path, 0, None)],
        &["a".to_owned()],
        writer,
        || (),
    )
    .unwrap_err();
    assert!(error.to_string().contains(".pcapng"), "{error}");
}

#[test]
fn names_of_addresses_of_all_files_are_in_the_merged_file_each_once() {
    let directory = tempfile::tempdir().unwrap();
    let named = |last: u8, name: &str| AddressNames {
        address: [10, 244, 0, last].into(),
        names: vec![name.to_owned()],
    };
    let v6 = AddressNames {
        address: "2001:db8::7".parse().unwrap(),
        names: vec!["web.shop".to_owned()],
    };
    let mut inputs = Vec::new();
    for (node, names) in [
        vec![named(1, "a.shop"), v6.clone()],
        vec![named(1, "a.shop"), named(2, "b.shop")],
        vec![named(2, "b.shop"), named(2, "b-again.shop")],
    ]
    .into_iter()
    .enumerate()
    {
        let path = directory.path().join(format!("{node}.pcapng"));
        let mut writer = Writer::new(Vec::new(), Kind::PCAPNG, "a test").unwrap();
        writer.interface(&interface("eth0")).unwrap();
        writer.names(&names).unwrap();
        writer
            .packet(&PacketBuf {
                timestamp: node as u64,
                data: vec![7],
                ..PacketBuf::default()
            })
            .unwrap();
        std::fs::write(&path, writer.finish().unwrap()).unwrap();
        inputs.push(input(&path, 0, Some(node as u64)));
    }
    let writer = Writer::new(Vec::new(), Kind::PCAPNG, "merged").unwrap();
    let (_, bytes) = merge(inputs.clone(), &["a".to_owned()], writer, || {}).unwrap();
    let mut reader = CaptureReader::new(&bytes[..]).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let Item::Names(names) = item {
            found.extend(names);
        }
    }
    let expected = [
        named(1, "a.shop"),
        v6,
        named(2, "b.shop"),
        named(2, "b-again.shop"),
    ];
    assert_eq!(found, expected);
    // A pcap file has no room for them.
    let plain = Kind::of(std::path::Path::new("x.pcap"));
    let writer = Writer::new(Vec::new(), plain, "").unwrap();
    merge(inputs, &["a".to_owned()], writer, || {}).unwrap();
}

#[test]
fn many_names_become_several_blocks_and_none_is_lost() {
    let names: Vec<_> = (0..2000_u32)
        .map(|number| AddressNames {
            address: std::net::Ipv4Addr::from(0x0af4_0000 + number).into(),
            names: vec![format!("{}-{number}.shop", "x".repeat(200))],
        })
        .collect();
    let mut writer = Writer::new(Vec::new(), Kind::PCAPNG, "a test").unwrap();
    writer.names(&names).unwrap();
    let bytes = writer.finish().unwrap();
    let mut reader = CaptureReader::new(&bytes[..]).unwrap();
    let mut found = Vec::new();
    let mut blocks = 0;
    while let Some(item) = reader.next_item().unwrap() {
        if let Item::Names(names) = item {
            found.extend(names);
            blocks += 1;
        }
    }
    assert_eq!(found, names);
    assert!(blocks > 10, "{blocks} blocks");
}
