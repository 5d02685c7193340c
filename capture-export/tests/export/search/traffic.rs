//! Capture files with traffic that has documents.

use std::{fs::File, path::Path};

use capture_file::{AddressNames, Interface, Kind, Writer};

use crate::support::{START, packet};

/// Nanoseconds between two packets.
pub(crate) const STEP: u64 = 1_000_000;

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

/// Frames over Ethernet and IPv4, one every step.
pub(crate) struct Traffic {
    start: u64,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// Who speaks: address and port of the client, and of the server.
pub(crate) type Ends = ([u8; 4], u16, [u8; 4], u16);

pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];

impl Traffic {
    /// From a number of seconds after [`START`] on.
    pub(crate) fn at(seconds: u64) -> Self {
        Self {
            start: START + seconds * 1_000_000_000,
            frames: Vec::new(),
        }
    }

    fn ip(&mut self, from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) {
        let number = self.frames.len() as u16;
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((payload.len() as u16 + 20).to_be_bytes());
        frame.extend(number.to_be_bytes());
        frame.extend([0x40, 0, 64, protocol, 0, 0]);
        frame.extend(from);
        frame.extend(to);
        frame.extend(payload);
        self.frames.push(frame);
    }

    pub(crate) fn udp(&mut self, (from, from_port, to, to_port): Ends, data: &[u8]) {
        let mut datagram = [from_port, to_port].map(u16::to_be_bytes).concat();
        datagram.extend((data.len() as u16 + 8).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        self.ip(from, to, 17, &datagram);
    }

    /// A segment; sequence numbers begin with 1,000 each way.
    fn tcp(&mut self, ends: Ends, flags: u8, [sequence, ack]: [u32; 2], data: &[u8]) {
        let (from, from_port, to, to_port) = ends;
        let mut segment = [from_port, to_port].map(u16::to_be_bytes).concat();
        segment.extend((1_000 + sequence).to_be_bytes());
        let ack = if flags & ACK == 0 { 0 } else { 1_000 + ack };
        segment.extend(ack.to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(data);
        self.ip(from, to, 6, &segment);
    }

    /// A connection: data in turns, the client first.
    pub(crate) fn connection(&mut self, ends: Ends, turns: &[&[u8]]) {
        let back = (ends.2, ends.3, ends.0, ends.1);
        self.tcp(ends, SYN, [0, 0], b"");
        self.tcp(back, SYN | ACK, [0, 1], b"");
        self.tcp(ends, ACK, [1, 1], b"");
        let [client, server] = self.turns(ends, [1, 1], turns);
        self.tcp(ends, FIN | ACK, [client, server], b"");
        self.tcp(back, FIN | ACK, [server, client + 1], b"");
    }

    /// Data in turns, from these sequence numbers on; those after it.
    pub(crate) fn turns(&mut self, ends: Ends, mut sent: [u32; 2], turns: &[&[u8]]) -> [u32; 2] {
        let back = (ends.2, ends.3, ends.0, ends.1);
        for (turn, data) in turns.iter().enumerate() {
            for piece in data.chunks(1_400) {
                if turn % 2 == 0 {
                    self.tcp(ends, ACK, sent, piece);
                    sent[0] += piece.len() as u32;
                } else {
                    self.tcp(back, ACK, [sent[1], sent[0]], piece);
                    sent[1] += piece.len() as u32;
                }
            }
        }
        sent
    }

    /// A question and its answer.
    pub(crate) fn dns(&mut self, id: u16, labels: &[&[u8]], code: Option<u8>) {
        let ends = (CLIENT, 40_053, SERVER, 53);
        self.udp(ends, &dns(id, [1, 0], labels));
        if let Some(code) = code {
            let back = (ends.2, ends.3, ends.0, ends.1);
            self.udp(back, &dns(id, [0x81, 0x80 | code], labels));
        }
    }

    /// Writes a file with the interface of a pod, and with names.
    pub(crate) fn write(&self, path: &Path) {
        let mut writer = Writer::new(File::create(path).unwrap(), Kind::of(path), "test").unwrap();
        let comment = "node=n\nnamespace=shop\npod=web-0\nuid=u-1\ncontainers=app,proxy";
        let interface = Interface::new(1, 0)
            .named("veth7")
            .with_description("pod shop/web-0 on node n")
            .with_comment(comment);
        writer.interface(&interface).unwrap();
        writer
            .names(&[AddressNames {
                address: SERVER.into(),
                names: vec!["web-0.shop".to_owned()],
            }])
            .unwrap();
        for (number, frame) in self.frames.iter().enumerate() {
            let time = self.start + number as u64 * STEP;
            writer.packet(&packet(time, 0, frame.clone())).unwrap();
        }
        writer.finish().unwrap();
    }
}

fn dns(id: u16, flags: [u8; 2], labels: &[&[u8]]) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(flags);
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    for label in labels {
        message.push(label.len() as u8);
        message.extend_from_slice(label);
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// A TLS client's hello that asks for this name.
pub(crate) fn client_hello(name: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8], width: usize| {
        let number = (bytes.len() as u32).to_be_bytes();
        [&number[4 - width..], bytes].concat()
    };
    let host = [&[0][..], &length(name, 2)].concat();
    let list = length(&host, 2);
    let extension = [&[0, 0][..], &length(&list, 2)].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    body.extend(length(&extension, 2));
    let message = [&[1][..], &length(&body, 3)].concat();
    [&[22, 3, 3][..], &length(&message, 2)].concat()
}

/// A little of everything: 3 flows, 3 DNS questions, a TLS handshake, 2 HTTP requests.
pub(crate) fn mixed(seconds: u64) -> Traffic {
    let mut traffic = Traffic::at(seconds);
    traffic.dns(1, &[b"www", b"example"], Some(0));
    traffic.dns(2, &[b"missing", b"example"], Some(3));
    traffic.dns(3, &[b"lost", b"example"], None);
    traffic.connection(
        (CLIENT, 40_001, SERVER, 80),
        &[
            b"GET /a?b=c HTTP/1.1\r\nHost: www.example:80\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"POST /fails HTTP/1.1\r\nHost: www.example\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        ],
    );
    let alert = [21, 3, 3, 0, 2, 2, 40];
    traffic.connection(
        (CLIENT, 40_002, SERVER, 443),
        &[&client_hello(b"tls.example"), &alert],
    );
    traffic
}

/// Datagrams between as many ports and addresses: each is a flow of its own.
pub(crate) fn many_flows(seconds: u64, count: u32) -> Traffic {
    let mut traffic = Traffic::at(seconds);
    for number in 0..count {
        let [_, a, b, c] = number.to_be_bytes();
        traffic.udp(([10, a, b, c], 1_000 + (seconds as u16), SERVER, 9), b"x");
    }
    traffic
}
