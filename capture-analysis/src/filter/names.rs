//! Names of numbers in expressions.

use std::fs;

use super::ast::Proto;

/// The system's file of port names.
const SERVICES: &str = "/etc/services";
/// A larger file is not a services file.
const LARGEST: u64 = 4 << 20;

/// Names that are known without that file.
const USUAL: [(&str, u16); 16] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("pop3", 110),
    ("ntp", 123),
    ("imap2", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
];

/// The port of a service, and the transport protocol if the name applies to only one of them.
pub(super) fn service(name: &str) -> Option<(u16, Option<u8>)> {
    let listed = fs::metadata(SERVICES)
        .ok()
        .filter(|metadata| metadata.len() <= LARGEST)
        .and_then(|_| fs::read_to_string(SERVICES).ok())
        .and_then(|text| in_services(&text, name));
    listed.or_else(|| {
        let mut usual = USUAL.iter();
        usual
            .find(|(known, _)| *known == name)
            .map(|(_, port)| (*port, None))
    })
}

fn in_services(text: &str, name: &str) -> Option<(u16, Option<u8>)> {
    let of = |wanted: &str| {
        text.lines().find_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let first = words.next()?;
            let (port, transport) = words.next()?.split_once('/')?;
            let named = first == name || words.any(|alias| alias == name);
            (named && transport == wanted).then(|| port.parse::<u16>().ok())?
        })
    };
    match (of("tcp"), of("udp")) {
        (Some(tcp), Some(udp)) if tcp == udp => Some((tcp, None)),
        (Some(tcp), _) => Some((tcp, Some(Proto::TCP))),
        (None, Some(udp)) => Some((udp, Some(Proto::UDP))),
        (None, None) => None,
    }
}

/// Named offsets and values of pcap-filter(7).
pub(super) fn constant(name: &str) -> Option<u32> {
    Some(match name {
        "icmptype" | "icmp6type" | "icmp-echoreply" => 0,
        "icmpcode" | "icmp6code" => 1,
        "icmp-unreach" => 3,
        "icmp-sourcequench" => 4,
        "icmp-redirect" => 5,
        "icmp-echo" => 8,
        "icmp-routeradvert" => 9,
        "icmp-routersolicit" => 10,
        "icmp-timxceed" => 11,
        "icmp-paramprob" => 12,
        "icmp-tstamp" => 13,
        "icmp-tstampreply" => 14,
        "icmp-ireq" => 15,
        "icmp-ireqreply" => 16,
        "icmp-maskreq" => 17,
        "icmp-maskreply" => 18,
        "icmp6-destinationunreach" => 1,
        "icmp6-packettoobig" => 2,
        "icmp6-timeexceeded" => 3,
        "icmp6-parameterproblem" => 4,
        "icmp6-echo" => 128,
        "icmp6-echoreply" => 129,
        "icmp6-multicastlistenerquery" => 130,
        "icmp6-multicastlistenerreportv1" => 131,
        "icmp6-multicastlistenerdone" => 132,
        "icmp6-routersolicit" => 133,
        "icmp6-routeradvert" => 134,
        "icmp6-neighborsolicit" => 135,
        "icmp6-neighboradvert" => 136,
        "icmp6-redirect" => 137,
        "icmp6-multicastlistenerreportv2" => 143,
        "tcpflags" => 13,
        "tcp-fin" => 0x01,
        "tcp-syn" => 0x02,
        "tcp-rst" => 0x04,
        "tcp-push" => 0x08,
        "tcp-ack" => 0x10,
        "tcp-urg" => 0x20,
        "tcp-ece" => 0x40,
        "tcp-cwr" => 0x80,
        _ => return None,
    })
}

/// The number of an IP protocol.
pub(super) fn transport(name: &str) -> Option<u8> {
    match Proto::named(name) {
        Some(Proto::Transport(number, _)) => Some(number),
        Some(Proto::Icmp6) => Some(58),
        _ => match name {
            "ipv6-icmp" => Some(58),
            "gre" => Some(47),
            "ospf" => Some(89),
            "ipip" | "ipencap" => Some(4),
            "ipv6" => Some(41),
            _ => None,
        },
    }
}

/// A protocol's type in an Ethernet header, or its service access point.
pub(super) fn ether_type(name: &str) -> Option<u32> {
    match Proto::named(name) {
        Some(Proto::Ip) => Some(0x0800),
        Some(Proto::Ip6) => Some(0x86dd),
        Some(Proto::Type(number)) => Some(u32::from(number)),
        Some(Proto::Sap(number)) => Some(u32::from(number)),
        _ => match name {
            "loopback" => Some(0x9000),
            "mpls" => Some(0x8847),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::in_services;

    #[test]
    fn services_have_names_aliases_and_transports() {
        let text = "# comment\nsyslog 514/udp\nshell 514/tcp cmd # no password\nhttp 80/tcp www\nhttp 80/udp\n";
        assert_eq!(in_services(text, "www"), Some((80, Some(6))));
        assert_eq!(in_services(text, "http"), Some((80, None)));
        assert_eq!(in_services(text, "syslog"), Some((514, Some(17))));
        assert_eq!(in_services(text, "cmd"), Some((514, Some(6))));
        assert_eq!(in_services(text, "comment"), None);
    }
}
