use super::Filter;
use crate::Packet;

/// From 10.0.0.7 port 40000 to 192.168.1.1 port 443, raw IP.
fn tcp() -> Vec<u8> {
    let mut bytes = vec![
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 7, 192, 168, 1, 1,
    ];
    bytes.extend([
        0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    bytes
}

fn matches(expression: &str) -> bool {
    let bytes = tcp();
    let packet = Packet {
        timestamp: 0,
        interface: 0,
        link_type: 101,
        original_length: 40,
        data: &bytes,
        file: 0,
        frame: 1,
    };
    Filter::parse(expression).unwrap().matches(&packet)
}

#[test]
fn expressions_match_as_those_of_tcpdump_do() {
    for expression in [
        "tcp",
        "ip and tcp port 443",
        "port 40000",
        "tcp dst port 443",
        "src host 10.0.0.7 and dst host 192.168.1.1",
        "dst 192.168.1.1",
        "net 10.0.0.0/8",
        "dst net 192.168.0.0/16",
        "portrange 400-500",
        "not udp",
        "!(udp or icmp)",
        "udp or tcp and port 443",
        "less 40 && greater 40",
        "tcp port https",
        "src 10.0.0.8 or 10.0.0.7",
        "port (80 or 443)",
        "net 10",
        "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
        "ip[2:2] - ((ip[0] & 0xf) << 2) = 20",
        "len = 40",
        "ip proto \\tcp",
    ] {
        assert!(matches(expression), "{expression}");
    }
    for expression in [
        "udp",
        "udp port 443",
        "ip6",
        "src port 443",
        "host 10.0.0.8",
        "src net 192.168.0.0/16",
        "net fe80::/10",
        "not tcp",
        "arp",
        "greater 41",
        // From left to right: (tcp or udp) and port 1.
        "tcp or udp and port 1",
        "vlan",
        "ether host 02:00:00:00:00:01",
        // A packet too short for a load does not match, whatever the rest of the expression.
        "not ip[4000] = 1",
    ] {
        assert!(!matches(expression), "{expression}");
    }
}

#[test]
fn what_is_not_understood_is_named() {
    for (expression, named) in [
        ("tcp prot 443", "prot"),
        ("port nosuchservice", "nosuchservice"),
        ("gateway router", "gateway"),
        ("net 10.0.0.1/8", "10.0.0.1"),
        ("tcp host 10.0.0.1", "10.0.0.1"),
        ("ip[0:3] = 1", "3"),
        ("ip[0] / 0 = 1", "0"),
        ("10.0.0.1", "10.0.0.1"),
        ("host example.org", "example.org"),
        ("tcp and", "primitive"),
        ("(tcp", "ends where )"),
        ("tcp[13", "ends where ]"),
        ("port 70000", "70000"),
    ] {
        let message = Filter::parse(expression).unwrap_err().to_string();
        assert!(message.contains(named), "{expression}: {message}");
    }
    for deep in ["(", "not ", "ip[", "-", "port ("] {
        for count in [100, 10_000] {
            assert!(Filter::parse(&deep.repeat(count)).is_err());
        }
    }
}
