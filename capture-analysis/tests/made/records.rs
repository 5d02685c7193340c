//! Records: every flow and message is handed on as it ends, whatever the report keeps.

use std::sync::{Arc, Mutex, PoisonError};

use capture_analysis::{
    Analysis, Origin, Records, Settings, Tap,
    flow::Flow,
    report::{DnsRow, HttpRow, TlsRow},
};
use capture_file::Interface;

use crate::support::{ACK, Frames, PSH, STEP, SYN, analysed, run};

#[derive(Default)]
struct Kept {
    interfaces: Vec<(u32, Option<String>)>,
    flows: Vec<(u64, u64, bool)>,
    dns: Vec<(Origin, DnsRow)>,
    http: Vec<(Origin, u64, HttpRow)>,
    tls: Vec<TlsRow>,
}

impl Records for Kept {
    fn interface(&mut self, number: u32, interface: &Interface) {
        self.interfaces.push((number, interface.name()));
    }

    fn flow(&mut self, flow: &Flow) {
        self.flows.push((flow.id, flow.packets(), flow.is_opened()));
    }

    fn dns(&mut self, origin: &Origin, row: &DnsRow) {
        self.dns.push((*origin, row.clone()));
    }

    fn tls(&mut self, _origin: &Origin, row: &TlsRow) {
        self.tls.push(row.clone());
    }

    fn http(&mut self, origin: &Origin, number: u64, row: &HttpRow) {
        self.http.push((*origin, number, row.clone()));
    }
}

fn kept(settings: &Settings, file: &[u8]) -> Kept {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let analysis = Analysis::new(settings).with_records(&Tap::new(Arc::clone(&kept) as _));
    run(analysis, &[file.to_vec()]);
    std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
}

fn traffic() -> Frames {
    let request = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let two = [&request[..], request].concat();
    let end = 1 + two.len() as u32;
    Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
        .client(PSH | ACK, 1, 1, &two)
        .server(PSH | ACK, 1, end, response)
        .question(7, "answered.example")
        .answer(7, "answered.example", 0)
        .question(8, "lost.example")
        .answer(9, "unasked.example", 3)
}

#[test]
fn every_flow_and_message_is_handed_on_once_also_if_the_report_keeps_none() {
    let file = traffic().pcapng_on(&["eth0"]);
    let report = analysed(&file);
    let none = Settings {
        conversations: 0,
        rows: 0,
        ..Settings::default()
    };
    for settings in [none, Settings::default()] {
        let mut kept = kept(&settings, &file);
        assert_eq!(kept.interfaces, [(0, Some("eth0".to_owned()))]);
        assert_eq!(kept.flows, [(0, 5, true), (1, 4, false)]);
        kept.dns.sort_by_key(|(_, row)| row.exchange.frame);
        let rows: Vec<&DnsRow> = kept.dns.iter().map(|(_, row)| row).collect();
        let dns = report.dns.as_ref().expect("DNS");
        assert_eq!(rows, dns.rows.iter().collect::<Vec<_>>());
        let rows: Vec<&HttpRow> = kept.http.iter().map(|(_, _, row)| row).collect();
        let http = report.http.as_ref().expect("HTTP");
        assert_eq!(rows, http.rows.iter().collect::<Vec<_>>());
        let numbers: Vec<u64> = kept.http.iter().map(|(_, number, _)| *number).collect();
        assert_eq!(numbers, [0, 1]);
    }
}

#[test]
fn a_record_says_when_where_and_between_whom() {
    let file = traffic().pcapng_on(&["eth0"]);
    let kept = kept(&Settings::default(), &file);
    let (origin, row) = &kept.dns[0];
    assert_eq!(row.code.as_deref(), Some("NOERROR"));
    assert_eq!((origin.time, origin.flow), (origin.flow_start, 1));
    assert_eq!((origin.client.port, origin.server.port), (40_000, 53));
    assert!(!origin.flow_opened);
    let (origin, _, row) = &kept.http[0];
    assert_eq!(origin.time, origin.flow_start + 3 * STEP);
    assert!(origin.flow_opened);
    assert_eq!((row.status, row.exchange.frame), (Some(404), 4));
}
