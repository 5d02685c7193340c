//! UDP: flows, including QUIC connections.

use std::collections::HashSet;

use ahash::RandomState;

use super::{Analyser, Datagram};
use crate::{
    flow::{Flow, FlowId, Transport},
    report::{Report, TlsSummary, UdpSummary},
};

/// Maximum QUIC connections that are tracked at once.
const MOST: usize = 8_192;

#[derive(Default)]
pub(crate) struct UdpFlows {
    summary: UdpSummary,
    quic: u64,
    quic_flows: HashSet<FlowId, RandomState>,
}

impl Analyser for UdpFlows {
    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        self.summary.datagrams += 1;
        if datagram.udp.source == 443 || datagram.udp.destination == 443 {
            self.quic(datagram);
        }
    }

    fn closed(&mut self, flow: &Flow) {
        if flow.transport == Transport::Udp {
            self.summary.flows += 1;
            self.summary.one_way += u64::from(flow.sides[1].packets == 0);
            self.quic_flows.remove(&flow.id);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        report.udp = std::mem::take(&mut self.summary);
        if self.quic > 0 {
            report.tls.get_or_insert_with(TlsSummary::default).quic = self.quic;
        }
    }
}

impl UdpFlows {
    /// A long header with a version (RFC 9000, 17.2): the beginning of a connection.
    fn quic(&mut self, datagram: &Datagram<'_>) {
        let [first, version @ ..] = datagram.udp.payload else {
            return;
        };
        let known = matches!(version, [0, 0, 0, 1, ..] | [0x6b, 0x33, 0x43, 0xcf, ..]);
        if first & 0xc0 == 0xc0
            && known
            && self.quic_flows.len() < MOST
            && self.quic_flows.insert(datagram.flow.id)
        {
            self.quic += 1;
        }
    }
}
