//! Packets and files made for tests.

use std::{
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
};

use capture_analysis::{Analysis, Hooks, Settings, Source, analyse, report::Report, tcp::Flags};

pub(crate) mod wire;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

pub(crate) const CLIENT_PORT: u16 = 40_000;
const SERVER_PORT: u16 = 80;
const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
/// Time between two frames, nanoseconds.
pub(crate) const STEP: u64 = 1_000_000;

/// Frames over Ethernet, one every step.
#[derive(Clone)]
pub(crate) struct Frames {
    step: u64,
    sequence: u32,
    port: u16,
    cut: usize,
    /// The time of the first frame.
    start: u64,
    pub(crate) frames: Vec<(u64, Vec<u8>)>,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self::every(STEP)
    }

    pub(crate) fn every(step: u64) -> Self {
        Self {
            step,
            sequence: 1_000,
            port: CLIENT_PORT,
            cut: usize::MAX,
            start: 1_700_000_000_000_000_000,
            frames: Vec::new(),
        }
    }

    pub(crate) fn from_sequence(sequence: u32) -> Self {
        Self {
            sequence,
            ..Self::new()
        }
    }

    pub(crate) fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    pub(crate) fn cut_to(self, cut: usize) -> Self {
        Self { cut, ..self }
    }

    pub(crate) fn client(self, flags: u8, sequence: u32, ack: u32, data: &[u8]) -> Self {
        self.tcp(true, flags, sequence, ack, data)
    }

    pub(crate) fn server(self, flags: u8, sequence: u32, ack: u32, data: &[u8]) -> Self {
        self.tcp(false, flags, sequence, ack, data)
    }

    fn tcp(self, from_client: bool, flags: u8, sequence: u32, ack: u32, data: &[u8]) -> Self {
        let ports = if from_client {
            [self.port, SERVER_PORT]
        } else {
            [SERVER_PORT, self.port]
        };
        let mut segment = ports.map(u16::to_be_bytes).concat();
        segment.extend(self.sequence.wrapping_add(sequence).to_be_bytes());
        segment.extend(
            if flags & ACK == 0 {
                0
            } else {
                self.sequence.wrapping_add(ack)
            }
            .to_be_bytes(),
        );
        // Checksums of 0, as left by offload.
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(data);
        self.ip(from_client, 6, &segment)
    }

    pub(crate) fn question(self, id: u16, name: &str) -> Self {
        let message = dns(id, 0x0100, name);
        self.udp(true, &message)
    }

    pub(crate) fn answer(self, id: u16, name: &str, code: u16) -> Self {
        let message = dns(id, 0x8180 | code, name);
        self.udp(false, &message)
    }

    fn udp(self, from_client: bool, data: &[u8]) -> Self {
        let ports = if from_client {
            [self.port, 53]
        } else {
            [53, self.port]
        };
        let mut datagram = ports.map(u16::to_be_bytes).concat();
        datagram.extend((data.len() as u16 + 8).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        self.ip(from_client, 17, &datagram)
    }

    fn ip(self, from_client: bool, protocol: u8, payload: &[u8]) -> Self {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        let length = payload.len() as u16 + 20;
        let number = self.frames.len() as u16;
        frame.extend([0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend(number.to_be_bytes());
        frame.extend([0x40, 0, 64, protocol, 0, 0]);
        let (source, destination) = if from_client {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        frame.extend(source);
        frame.extend(destination);
        frame.extend(payload);
        self.frame(frame)
    }

    /// Any frame, a step after the one before.
    pub(crate) fn frame(mut self, frame: Vec<u8>) -> Self {
        let time = self.start + self.frames.len() as u64 * self.step;
        self.frames.push((time, frame));
        self
    }

    /// Several frames, each a step after the one before.
    pub(crate) fn frames(self, frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        frames.into_iter().fold(self, Self::frame)
    }

    /// Delays the following frames by this much.
    pub(crate) const fn wait(mut self, nanoseconds: u64) -> Self {
        self.start += nanoseconds;
        self
    }

    pub(crate) fn split_at(mut self, at: usize) -> (Self, Self) {
        let rest = self.frames.split_off(at);
        let second = Self {
            frames: rest,
            ..self.clone()
        };
        (self, second)
    }

    fn captured<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        &frame[..frame.len().min(self.cut)]
    }

    /// With nanoseconds.
    pub(crate) fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            file.extend(word.to_le_bytes());
        }
        for (time, frame) in &self.frames {
            let captured = self.captured(frame);
            let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
            for word in [
                seconds as u32,
                rest as u32,
                captured.len() as u32,
                frame.len() as u32,
            ] {
                file.extend(word.to_le_bytes());
            }
            file.extend(captured);
        }
        file
    }

    /// Each frame once on each of these interfaces.
    pub(crate) fn pcapng_on(&self, interfaces: &[&str]) -> Vec<u8> {
        self.pcapng(interfaces, |_| None)
    }

    /// Each frame on one of these interfaces.
    pub(crate) fn pcapng_split(&self, interfaces: &[&str], on: impl Fn(&[u8]) -> u32) -> Vec<u8> {
        self.pcapng(interfaces, |frame| Some(on(frame)))
    }

    fn pcapng(&self, interfaces: &[&str], on: impl Fn(&[u8]) -> Option<u32>) -> Vec<u8> {
        let mut file = section();
        for name in interfaces {
            let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0];
            option(&mut body, 2, name.as_bytes());
            option(&mut body, 9, &[9]);
            block(&mut file, 1, &body);
        }
        for (time, frame) in &self.frames {
            for number in 0..interfaces.len() as u32 {
                if on(frame).is_some_and(|on| on != number) {
                    continue;
                }
                let mut body = Vec::new();
                let length = frame.len() as u32;
                for word in [number, (time >> 32) as u32, *time as u32, length, length] {
                    body.extend(word.to_le_bytes());
                }
                body.extend(frame);
                block(&mut file, 6, &body);
            }
        }
        file
    }

    /// With the statistics of a recorder that lost this many packets.
    pub(crate) fn pcapng_with_loss(&self, lost: u64) -> Vec<u8> {
        let mut file = self.pcapng_on(&["eth0"]);
        let mut body = vec![0; 12];
        option(&mut body, 5, &lost.to_le_bytes());
        block(&mut file, 5, &body);
        file
    }
}

pub(crate) fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    let mut file = Vec::new();
    block(&mut file, 0x0a0d_0d0a, &body);
    file
}

pub(crate) fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let length = (padded as u32 + 12).to_le_bytes();
    file.extend(kind.to_le_bytes());
    file.extend(length);
    file.extend(body);
    file.extend(vec![0; padded - body.len()]);
    file.extend(length);
}

pub(crate) fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    body.extend(vec![0; value.len().next_multiple_of(4) - value.len()]);
}

fn dns(id: u16, flags: u16, name: &str) -> Vec<u8> {
    let mut message = [id, flags, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

pub(crate) fn analysed(file: &[u8]) -> Report {
    analysed_files(&[file.to_vec()])
}

pub(crate) fn analysed_with(settings: &Settings, file: &[u8]) -> Report {
    run(Analysis::new(settings), &[file.to_vec()])
}

pub(crate) fn analysed_files(files: &[Vec<u8>]) -> Report {
    run(Analysis::new(&Settings::default()), files)
}

pub(crate) fn run(analysis: Analysis, files: &[Vec<u8>]) -> Report {
    let sources = files.iter().enumerate().map(|(number, bytes)| {
        let name = format!("file{number}");
        let source = Source {
            name: name.clone(),
            input: Box::new(Cursor::new(bytes.clone())),
        };
        (name, Ok(source))
    });
    analyse(analysis, sources, &mut Hooks::default())
}

/// The findings of a kind.
pub(crate) fn of_kind<'r>(
    report: &'r Report,
    kind: &str,
) -> Vec<&'r capture_analysis::report::Finding> {
    let findings = report.findings.iter();
    findings.filter(|finding| finding.kind == kind).collect()
}

/// The one finding of a kind.
pub(crate) fn one<'r>(report: &'r Report, kind: &str) -> &'r capture_analysis::report::Finding {
    let kinds: Vec<&str> = report
        .findings
        .iter()
        .map(|one| one.kind.as_str())
        .collect();
    match of_kind(report, kind)[..] {
        [one] => one,
        ref many => panic!(
            "{} findings of kind {kind}; there are {kinds:?}",
            many.len()
        ),
    }
}

/// Frames with flags.
pub(crate) fn flags_of(file: &[u8]) -> Vec<(u64, Flags)> {
    let flagged = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&flagged);
    let analysis =
        Analysis::new(&Settings::default()).with_frames(Box::new(move |packet, flags| {
            sink.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((packet.frame, flags));
        }));
    run(analysis, &[file.to_vec()]);
    std::mem::take(&mut *flagged.lock().unwrap_or_else(PoisonError::into_inner))
}
