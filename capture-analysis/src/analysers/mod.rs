//! Analysers: each looks at one thing and is one file. A new one is one file, and one line in `all`.

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
    report::Report,
    settings::Settings,
    tcp::Flags,
};

/// A TCP segment in its connection.
pub struct Segment<'a> {
    /// The frame it came in.
    pub packet: &'a Packet<'a>,
    /// Its IP header.
    pub ip: &'a Ip,
    /// Its TCP header and data.
    pub tcp: &'a Tcp<'a>,
    /// Its flow, with this segment counted in.
    pub flow: &'a Flow,
    /// Which way it goes.
    pub way: Way,
    /// What it is.
    pub flags: Flags,
}

/// A UDP datagram in its flow.
pub struct Datagram<'a> {
    /// The frame it came in, or the last of its fragments.
    pub packet: &'a Packet<'a>,
    /// Its IP header.
    pub ip: &'a Ip,
    /// Its UDP header and data.
    pub udp: &'a Udp<'a>,
    /// Its flow, with this datagram counted in.
    pub flow: &'a Flow,
    /// Which way it goes.
    pub way: Way,
}

/// Looks at one thing. What it keeps is bounded, whatever the files hold.
pub trait Analyser: Send {
    /// An IP header, outermost or inside a tunnel.
    fn ip(&mut self, _packet: &Packet<'_>, _ip: &Ip) {}
    /// A TCP segment; copies seen on further interfaces are left out.
    fn tcp(&mut self, _segment: &Segment<'_>) {}
    /// A UDP datagram; copies seen on further interfaces are left out.
    fn udp(&mut self, _datagram: &Datagram<'_>) {}
    /// An ICMP or `ICMPv6` message.
    fn icmp(&mut self, _packet: &Packet<'_>, _ip: &Ip, _icmp: &Icmp<'_>) {}
    /// An ARP message.
    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {}
    /// A flow is over, or was closed early.
    fn closed(&mut self, _flow: &Flow) {}
    /// All packets were seen: adds its part to the report.
    fn finish(&mut self, report: &mut Report);
}

/// Every analyser.
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
