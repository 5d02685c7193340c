//! Records: what an analysis hands on while it runs, for programs that store every flow and message and
//! not only a report of the largest.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use capture_file::Interface;

use crate::{
    flow::{Endpoint, Flow, FlowId, Transport},
    packet::Packet,
    report::{DnsRow, HttpRow, TlsRow},
};

/// The exchange that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// When it began, nanoseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The interface of its first packet, numbered over all files.
    pub interface: u32,
    /// TCP or UDP.
    pub transport: Transport,
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// The number of its flow.
    pub flow: FlowId,
    /// The earliest packet of its flow so far, nanoseconds since 1970-01-01 UTC.
    pub flow_start: u64,
    /// Whether the beginning of its flow is in the files: the SYN of a TCP connection.
    pub flow_opened: bool,
}

impl Origin {
    /// The exchange between these ends that begins with this packet of a flow.
    pub(crate) fn new(
        packet: &Packet<'_>,
        flow: &Flow,
        client: Endpoint,
        server: Endpoint,
    ) -> Self {
        Self {
            time: packet.timestamp,
            interface: packet.interface,
            transport: flow.transport,
            client,
            server,
            flow: flow.id,
            flow_start: flow.span.first,
            flow_opened: flow.is_opened(),
        }
    }
}

/// Takes records while files are read. Each method is called on the thread that analyses.
pub trait Records: Send {
    /// An interface, before its first packet. The number is the one of [`Packet::interface`]; a later file
    /// may describe the same interface again.
    fn interface(&mut self, _number: u32, _interface: &Interface) {}
    /// The name that a file gives an address.
    fn name(&mut self, _address: IpAddr, _name: &str) {}
    /// A flow that has ended, was closed early, or was live at the end of the files.
    fn flow(&mut self, _flow: &Flow) {}
    /// A DNS question with its answer, one without, or an answer without its question.
    fn dns(&mut self, _origin: &Origin, _row: &DnsRow) {}
    /// A TLS handshake.
    fn tls(&mut self, _origin: &Origin, _row: &TlsRow) {}
    /// An HTTP request with its response, one without, or a response without its request. `number` counts
    /// from 0 in the connection.
    fn http(&mut self, _origin: &Origin, _number: u64, _row: &HttpRow) {}
}

/// The way of records to whoever takes them.
#[derive(Clone)]
pub struct Tap(Arc<Mutex<dyn Records>>);

impl Tap {
    /// A tap for these.
    #[must_use]
    pub fn new(records: Arc<Mutex<dyn Records>>) -> Self {
        Self(records)
    }

    /// Hands on a record.
    pub(crate) fn give(&self, record: impl FnOnce(&mut dyn Records)) {
        record(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}
