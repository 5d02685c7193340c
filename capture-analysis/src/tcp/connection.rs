//! A connection: both halves, how it began and how it ended.

use crate::{decode::Tcp, flow::Way};

use super::{
    Flag, Flags, Half, Options,
    classify::{Arrival, classify},
    half::{Round, Scale},
};

/// How a connection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The capture begins in its middle.
    Before,
    /// The handshake is in the capture.
    Completed,
    /// The SYN was answered with RST.
    Refused,
    /// The SYN was answered with SYN and ACK, and no more.
    HalfOpen,
    /// The SYN was not answered.
    Unanswered,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides sent FIN.
    Closed,
    /// One side sent FIN.
    HalfClosed,
    /// One side reset it.
    Reset,
    /// It had not ended at the end of the capture.
    Open,
}

/// A reset of a connection, and what preceded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The direction of the RST.
    pub way: Way,
    /// Its time.
    pub time: u64,
    /// Its file and frame.
    pub frame: (u32, u64),
    /// Bytes of data before it, both ways.
    pub after_bytes: u64,
    /// Nanoseconds since the packet before it.
    pub after_idle: u64,
    /// It came after both sides had sent FIN or in answer to a SYN.
    pub expected: bool,
}

/// Waiting times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waited {
    /// Of the client for the server's answers, beyond the round trip.
    pub server: Round,
    /// Of the server for the client's next requests.
    pub client: Round,
    /// Of both for the network: a round trip for each answer.
    pub network: u64,
}

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// The state of each side; the side that sent first is the first.
    pub halves: [Half; 2],
    /// When the last SYN without ACK came.
    syn_time: Option<u64>,
    syn_ack: bool,
    /// From the SYN to the ACK that completes the handshake.
    pub handshake: Option<u64>,
    refused: bool,
    /// The first reset.
    pub reset: Option<Box<Reset>>,
    /// Waiting times.
    pub waited: Waited,
    /// The longest wait for the server: nanoseconds beyond the round trip, the frame that ended it, its
    /// time.
    pub longest_answer: Option<(u64, (u32, u64), u64)>,
    /// The last data: its sender and its time.
    last_data: Option<(Way, u64)>,
    last_time: u64,
    /// The longest silence: nanoseconds, and the frame that ended it.
    pub longest_idle: Option<(u64, (u32, u64))>,
}

impl Connection {
    /// Whether this SYN opens another connection between the same ports.
    pub(crate) fn is_reopened_by(&self, tcp: &Tcp<'_>, way: Way) -> bool {
        if !tcp.has(Tcp::SYN) {
            return false;
        }
        let own = &self.halves[way.index()];
        let Some(base) = own.base else {
            return false;
        };
        if tcp.has(Tcp::ACK) {
            return false;
        }
        base != tcp.sequence || self.ended()
    }

    fn ended(&self) -> bool {
        self.reset.is_some() || self.halves.iter().any(|half| half.fins > 0)
    }

    /// Adds a segment and classifies it. `client` is corrected if the segment shows it.
    pub(crate) fn segment(
        &mut self,
        tcp: &Tcp<'_>,
        way: Way,
        time: u64,
        frame: (u32, u64),
        client: &mut Way,
    ) -> Flags {
        let options = if tcp.options.is_empty() {
            Options::default()
        } else {
            Options::read(tcp.options)
        };
        self.open(tcp, &options, way, time, client);
        self.note_times(tcp, way, time, frame, *client);
        let [first, second] = &mut self.halves;
        let (own, other) = match way {
            Way::Forward => (first, second),
            Way::Backward => (second, first),
        };
        own.segments += 1;
        own.base.get_or_insert(if tcp.has(Tcp::SYN) {
            tcp.sequence
        } else {
            tcp.sequence.wrapping_sub(1)
        });
        let mut flags = Flags::NONE;
        if let Some(length) = tcp.length {
            let arrival = Arrival {
                tcp,
                length,
                time,
                first_round_trip: self.handshake,
            };
            flags = classify(&arrival, own, other);
            if length > 0 {
                own.data_segments += 1;
                own.data_bytes += u64::from(length);
                own.largest = own.largest.max(length);
                if flags.sent_again() {
                    own.again_bytes += u64::from(length);
                }
            }
            for flag in flags.iter() {
                own.count(flag);
            }
        }
        zero_window(own, tcp, time);
        if tcp.has(Tcp::FIN) {
            own.fins += 1;
        }
        if tcp.has(Tcp::RST) {
            self.note_reset(tcp, way, time, frame);
        }
        self.last_time = self.last_time.max(time);
        flags
    }

    fn open(&mut self, tcp: &Tcp<'_>, options: &Options, way: Way, time: u64, client: &mut Way) {
        let own = &mut self.halves[way.index()];
        if tcp.has(Tcp::SYN) {
            own.syns += 1;
            own.offered = Some(options.into());
            own.scale = options.window_scale.map_or(Scale::None, Scale::By);
            if tcp.has(Tcp::ACK) {
                *client = way.other();
                self.syn_ack = true;
                // Without the client's SYN in the capture, its scale is unknown.
                let peer = &self.halves[way.other().index()];
                if peer.scale == Scale::None || options.window_scale.is_none() {
                    for half in &mut self.halves {
                        if half.scale != Scale::Unknown {
                            half.scale = Scale::None;
                        }
                    }
                }
            } else {
                *client = way;
                self.syn_time = Some(time);
            }
        } else if tcp.has(Tcp::ACK)
            && self.syn_ack
            && self.handshake.is_none()
            && way == *client
            && !tcp.has(Tcp::RST)
            && let Some(syn) = self.syn_time
        {
            self.handshake = Some(time.saturating_sub(syn));
        }
    }

    fn note_times(&mut self, tcp: &Tcp<'_>, way: Way, time: u64, frame: (u32, u64), client: Way) {
        if self.last_time > 0 {
            let idle = time.saturating_sub(self.last_time);
            if self.longest_idle.is_none_or(|(longest, _)| idle > longest) {
                self.longest_idle = Some((idle, frame));
            }
        }
        if tcp.length.is_none_or(|length| length == 0) {
            return;
        }
        if let Some((last_way, last_time)) = self.last_data
            && last_way != way
        {
            let wait = time.saturating_sub(last_time);
            if way == client {
                self.waited.client.add(wait);
            } else {
                let network = self.handshake.unwrap_or(0).min(wait);
                self.waited.network += network;
                let wait = wait - network;
                self.waited.server.add(wait);
                if self
                    .longest_answer
                    .is_none_or(|(longest, ..)| wait > longest)
                {
                    self.longest_answer = Some((wait, frame, time));
                }
            }
        }
        self.last_data = Some((way, time));
    }

    fn note_reset(&mut self, tcp: &Tcp<'_>, way: Way, time: u64, frame: (u32, u64)) {
        let own = &self.halves[way.index()];
        let other = &self.halves[way.other().index()];
        let data = own.data_bytes + other.data_bytes;
        let answers_syn = other.syns > 0 && own.syns == 0 && other.data_bytes == 0;
        if answers_syn && tcp.has(Tcp::ACK) {
            self.refused = true;
        }
        let expected = answers_syn || (own.fins > 0 && other.fins > 0);
        let reset = Reset {
            way,
            time,
            frame,
            after_bytes: data,
            after_idle: time.saturating_sub(self.last_time),
            expected,
        };
        self.reset.get_or_insert_with(|| Box::new(reset));
    }

    /// The flow has ended: waits in progress end with it.
    pub(crate) fn finish(&mut self, last: u64) {
        for half in &mut self.halves {
            if let Some(since) = half.zero_window_since.take() {
                half.zero_window += last.saturating_sub(since);
            }
            half.waiting = std::collections::VecDeque::new();
        }
    }

    /// Whether the client's SYN was seen.
    #[must_use]
    pub const fn has_syn(&self) -> bool {
        self.syn_time.is_some()
    }

    /// How it began.
    #[must_use]
    pub fn opened(&self) -> Opened {
        let syn = self.syn_time.is_some();
        if self.refused {
            Opened::Refused
        } else if self.handshake.is_some() {
            Opened::Completed
        } else if self.syn_ack {
            Opened::HalfOpen
        } else if syn && self.halves.iter().all(|half| half.data_bytes == 0) {
            Opened::Unanswered
        } else if syn {
            Opened::Completed
        } else {
            Opened::Before
        }
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let fins = self.halves.iter().filter(|half| half.fins > 0).count();
        match (fins, &self.reset) {
            (2, _) => Outcome::Closed,
            (_, Some(_)) => Outcome::Reset,
            (1, None) => Outcome::HalfClosed,
            _ => Outcome::Open,
        }
    }

    /// Segments of both sides with this flag.
    #[must_use]
    pub fn counted(&self, flag: Flag) -> u64 {
        self.halves
            .iter()
            .map(|half| u64::from(half.counted(flag)))
            .sum()
    }
}

fn zero_window(own: &mut Half, tcp: &Tcp<'_>, time: u64) {
    if tcp.has(Tcp::SYN | Tcp::RST) {
        return;
    }
    if tcp.window == 0 && !tcp.has(Tcp::FIN) {
        own.zero_window_since.get_or_insert(time);
    } else if let Some(since) = own.zero_window_since.take() {
        own.zero_window += time.saturating_sub(since);
    }
}
