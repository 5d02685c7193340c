//! The protocols that the decoder distinguishes.

macro_rules! protocols {
    ($($name:ident => $text:literal,)*) => {
        /// A protocol in the tree of protocols.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the protocols'")]
        pub enum Protocol { $($name,)* }

        impl Protocol {
            /// Its usual abbreviation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

protocols! {
    Ethernet => "Ethernet",
    LinuxCooked => "Linux cooked",
    Loopback => "Loopback",
    Raw => "Raw IP",
    Ppp => "PPP or HDLC",
    Vlan => "802.1Q",
    Llc => "LLC",
    Mpls => "MPLS",
    Pppoe => "PPPoE",
    Arp => "ARP",
    Lldp => "LLDP",
    Eapol => "EAPOL",
    Ipv4 => "IPv4",
    Ipv6 => "IPv6",
    Fragment => "Fragment",
    Ah => "AH",
    Esp => "ESP",
    Icmp => "ICMP",
    Icmpv6 => "ICMPv6",
    Igmp => "IGMP",
    Tcp => "TCP",
    Udp => "UDP",
    Sctp => "SCTP",
    Ospf => "OSPF",
    Vrrp => "VRRP",
    Pim => "PIM",
    Gre => "GRE",
    Vxlan => "VXLAN",
    Geneve => "GENEVE",
    Gtp => "GTP",
    Teredo => "Teredo",
    L2tp => "L2TP",
    Dns => "DNS",
    Mdns => "mDNS",
    Dhcp => "DHCP",
    Tls => "TLS",
    Quic => "QUIC",
    Http => "HTTP",
    Rtp => "RTP",
    Other => "Other",
}
