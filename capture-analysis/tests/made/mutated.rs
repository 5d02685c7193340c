//! Whatever changes in a file, there is a report, and its pages are whole: a bounded run of what the fuzz
//! targets do without end.

use capture_analysis::{Settings, render, report::Report};

use crate::support::{
    self, ACK, FIN, Frames, PSH, SYN,
    wire::{self, Header, arp, dhcp, icmp, ipv4, udp},
};

/// Changed files of each kind.
const ROUNDS: u64 = 300;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    const fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Something for every analyser.
fn frames() -> Frames {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let header = Header::new(client, server);
    let question = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03";
    let media = [&[0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4][..], &[0; 40]].concat();
    let asked = ipv4(header, 17, &udp([5_000, 9], b"x"));
    Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
        .client(PSH | ACK, 1, 1, question)
        .client(PSH | ACK, 1, 1, question)
        .server(
            PSH | ACK,
            1,
            38,
            b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        )
        .client(FIN | ACK, 38, 40, b"")
        .port(40_001)
        .client(PSH | ACK, 1, 1, hello)
        .question(7, "www.example.org")
        .answer(7, "www.example.org", 3)
        .frame(ipv4(header, 17, &udp([20_000, 30_000], &media)))
        .frame(asked.clone())
        .frame(ipv4(
            Header::new(server, client),
            1,
            &icmp(3, 3, [0; 4], &asked[14..]),
        ))
        .frame(arp(true, [2, 0, 0, 0, 0, 1], client, server))
        .frame(dhcp(1, [2, 0, 0, 0, 0, 1], None))
        .frame(ipv4(
            Header {
                id: 9,
                fragment: 0x2000,
                ..header
            },
            17,
            &udp([1, 2], &[0; 32]),
        ))
        .frame(wire::ethernet([2; 6], [4; 6], 0x86dd, &[0x60; 60]))
}

fn changed(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(file.len());
        match random.below(6) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = random.next() as u8,
            2 => file[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
            3 => file.truncate(at.max(1)),
            4 => {
                let byte = random.next() as u8;
                file.insert(at, byte);
            }
            _ => _ = file.remove(at),
        }
        if file.is_empty() {
            file.push(0);
        }
    }
    file
}

fn whole(report: &Report) {
    let mut page = String::new();
    assert!(render::html(report, 10, &mut page).is_ok());
    assert!(!page.contains("<script") && page.ends_with("</html>"));
    let shown = render::terminal(report, 10);
    assert!(!shown.contains(|character: char| character.is_control() && character != '\n'));
    for table in render::tables(report) {
        let mut csv = Vec::new();
        assert!(table.write(&mut csv).is_ok());
        assert!(!csv.contains(&0x1b));
    }
    assert!(
        report
            .health
            .score
            .is_none_or(|score| (0.0..=100.0).contains(&score))
    );
    let listed = report
        .inventory
        .sizes
        .iter()
        .map(|size| size.packets)
        .sum::<u64>();
    assert_eq!(listed, report.inventory.packets);
}

#[test]
fn changed_files_have_reports_and_pages() {
    let mut settings = Settings::default();
    settings.flows.live = 8;
    let frames = frames();
    for file in [
        frames.pcap(),
        frames.pcapng_on(&["eth0", "br0"]),
        frames.pcapng_with_loss(3),
    ] {
        for round in 0..ROUNDS {
            let changed = changed(&file, &mut Random(round));
            whole(&support::analysed_with(&settings, &changed));
        }
    }
}
