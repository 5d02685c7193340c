//! Analysers: each covers one topic in one file. A new one needs one file, and one line in `all`.

mod arp;
mod collect;
mod dhcp;
mod dns;
mod duplicates;
mod handshakes;
mod http;
mod icmp;
mod network;
mod paths;
mod rtp;
mod security;
mod stream;
mod tcp;
mod tls;
mod udp;

use crate::{
    decode::{Icmp, Ip, Tcp, Udp},
    flow::{Flow, Way},
    packet::Packet,
    records::Tap,
    report::Report,
    settings::Settings,
    tcp::Flags,
};

/// A TCP segment in its connection.
pub struct Segment<'a> {
    /// Its frame.
    pub packet: &'a Packet<'a>,
    /// Its IP header.
    pub ip: &'a Ip,
    /// Its TCP header and data.
    pub tcp: &'a Tcp<'a>,
    /// Its flow, including this segment.
    pub flow: &'a Flow,
    /// Its direction.
    pub way: Way,
    /// Its flags.
    pub flags: Flags,
}

/// A UDP datagram in its flow.
pub struct Datagram<'a> {
    /// Its frame, or that of the last fragment.
    pub packet: &'a Packet<'a>,
    /// Its IP header.
    pub ip: &'a Ip,
    /// Its UDP header and data.
    pub udp: &'a Udp<'a>,
    /// Its flow, including this datagram.
    pub flow: &'a Flow,
    /// Its direction.
    pub way: Way,
}

/// Analyses one topic. Its memory is bounded, whatever the files contain.
pub trait Analyser: Send {
    /// Rows go to this tap as they end, beside those that the report keeps.
    fn hand_to(&mut self, _tap: &Tap) {}
    /// An IP header, outermost or inside a tunnel.
    fn ip(&mut self, _packet: &Packet<'_>, _ip: &Ip) {}
    /// A TCP segment; copies seen on further interfaces are skipped.
    fn tcp(&mut self, _segment: &Segment<'_>) {}
    /// A UDP datagram; copies seen on further interfaces are skipped.
    fn udp(&mut self, _datagram: &Datagram<'_>) {}
    /// An ICMP or `ICMPv6` message.
    fn icmp(&mut self, _packet: &Packet<'_>, _ip: &Ip, _icmp: &Icmp<'_>) {}
    /// An ARP message.
    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {}
    /// A flow has ended, or was closed early.
    fn closed(&mut self, _flow: &Flow) {}
    /// All packets were seen: adds the analyser's part to the report.
    fn finish(&mut self, report: &mut Report);
}

/// All analysers.
pub(crate) fn all(settings: &Settings) -> Vec<Box<dyn Analyser>> {
    let thresholds = &settings.thresholds;
    vec![
        Box::new(handshakes::Handshakes::new(thresholds)),
        Box::new(tcp::Tcp::new(thresholds)),
        Box::new(network::Network::default()),
        Box::new(duplicates::Duplicates::new()),
        Box::new(paths::Paths::default()),
        Box::new(icmp::Messages::default()),
        Box::new(udp::UdpFlows::default()),
        Box::new(rtp::Rtp::default()),
        Box::new(dhcp::Dhcp::default()),
        Box::new(dns::Dns::new(settings)),
        Box::new(tls::Tls::new(settings)),
        Box::new(http::Http::new(settings)),
        Box::new(arp::Arp::new(thresholds)),
        Box::new(security::Security::new(&settings.hints)),
    ]
}
