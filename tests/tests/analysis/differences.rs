//! Differences between the analysis and tshark 4.0.17, with reasons; also documented in
//! `docs/analysis.md`.

/// Files that differ for the same reason.
pub(crate) struct Difference {
    /// The reason.
    pub(crate) reason: &'static str,
    /// Each file, and the views that differ.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "an IP length of 0, as segmentation offload of more than 64 KiB (BIG TCP) leaves it, is the \
                 frame's length; tshark 4.0 takes such packets for malformed and does not decode them",
        files: &[
            ("tcpdump-bigtcp-ipv4-geneve-ipv4.pcap", "eth ip tcp udp"),
            ("tcpdump-bigtcp-ipv4-geneve-ipv6.pcap", "eth ipv6 tcp udp"),
            ("tcpdump-bigtcp-ipv4-vxlan-ipv4.pcap", "eth ip tcp udp"),
            ("tcpdump-bigtcp-ipv4-vxlan-ipv6.pcap", "eth ipv6 tcp udp"),
            ("tcpdump-bigtcp-ipv6-geneve-ipv4.pcap", "eth ip tcp udp"),
            ("tcpdump-bigtcp-ipv6-geneve-ipv6.pcap", "eth ipv6 tcp udp"),
            ("tcpdump-bigtcp-ipv6-vxlan-ipv4.pcap", "eth ip tcp udp"),
            ("tcpdump-bigtcp-ipv6-vxlan-ipv6.pcap", "eth ipv6 tcp udp"),
            ("tcpdump-bigtcp-ipv6.pcap", "tcp"),
        ],
    },
    Difference {
        reason: "a UDP flow is its ports; tshark 4.0 begins another conversation where SIP announced the \
                 media",
        files: &[
            ("ndpi-FAX-Call-t38-CA-TDM-SIP-FB-1.pcap", "udp"),
        ],
    },
    Difference {
        reason: "bytes are those of the file; capinfos subtracts the four bytes of the ATM pseudo-header",
        files: &[
            ("tcpdump-atm-heapoverflow.pcap", "inventory"),
            ("tcpdump-atm-oam-heapoverflow.pcap", "inventory"),
            ("tcpdump-atm-oam-loopback-print-overrun.pcap", "inventory"),
        ],
    },
    Difference {
        reason: "what is inside is not decoded: NSH, MACsec, MPLS in UDP, PIM registers, WCCP in GRE, PPP and \
                 EtherType 0x883e in GRE, ISL, Ethernet in segment routing, Arista's and sFlow's and \
                 OpenFlow's copies of packets",
        files: &[
            ("tcpdump-DTP.pcap", "eth"),
            ("tcpdump-PIM_register_register-stop.pcap", "ip"),
            ("tcpdump-arista_ether.pcap", "ip"),
            ("tcpdump-ipv6-srh-ipproto-ether.pcap", "eth ipv6"),
            ("tcpdump-macsec-integonly.pcap", "ip"),
            ("tcpdump-macsec-short-longer.pcap", "ip udp"),
            ("tcpdump-macsec-short-shorter.pcap", "ip udp"),
            ("tcpdump-macsec-short-valid.pcap", "ip udp"),
            ("tcpdump-mpls-over-udp.pcap", "ip"),
            ("tcpdump-nsh-over-vxlan-gpe.pcap", "ip udp"),
            ("tcpdump-nsh.pcap", "ip udp"),
            ("tcpdump-of10_s4810.pcap", "eth"),
            ("tcpdump-of13_ericsson.pcapng", "eth ip udp"),
            ("tcpdump-pim-packet-assortment.pcap", "ip ipv6 udp"),
            ("tcpdump-sflow-print-v6.pcap", "eth"),
            ("tcpdump-various_gre.pcap", "ip"),
            ("tcpdump-wccp_redirect_gre.pcap", "ip tcp"),
        ],
    },
    Difference {
        reason: "malformed on purpose, or cut inside a header: what was captured of a header counts where \
                 tshark gives up, and nothing is read from headers that contradict themselves",
        files: &[
            ("ndpi-fuzz-2020-02-16-11740.pcap", "ipv6"),
            ("ndpi-reasm_crash_anon.pcapng", "flags tcp"),
            ("tcpdump-LINKTYPE_IPV4_invalid.pcap", "dns ipv6 udp"),
            ("tcpdump-beep-oobr.pcap", "tcp"),
            ("tcpdump-heapoverflow-tcp_print.pcap", "tcp"),
            ("tcpdump-hncp_dhcpv4data-oobr.pcap", "udp"),
            ("tcpdump-hoobr_rt6_print.pcap", "ipv6"),
            ("tcpdump-icmp-rfc8335-missing-bytes.pcap", "ip"),
            ("tcpdump-ip6_frag_asan.pcap", "ipv6"),
            ("tcpdump-ip_printroute_asan.pcap", "ip"),
            ("tcpdump-ipv6-next-header-oobr-1.pcap", "ipv6"),
            ("tcpdump-ipv6-next-header-oobr-2.pcap", "ipv6"),
            ("tcpdump-ipv6-rthdr-oobr.pcap", "ipv6"),
            ("tcpdump-ipv6-srh-tlv-pad1-padn-5-trunc.pcap", "ipv6"),
            ("tcpdump-ipv6-too-long-jumbo.pcap", "ipv6"),
            ("tcpdump-ipv6_frag6_negative_len.pcap", "ipv6"),
            ("tcpdump-ipv6_missing_jumbo_payload_option.pcap", "ipv6"),
            ("tcpdump-ipv6_mobility_1.pcap", "ipv6"),
            ("tcpdump-ipv6hdr-heapoverflow.pcap", "ipv6"),
            ("tcpdump-kday1.pcap", "ipv6"),
            ("tcpdump-kday3.pcap", "ipv6"),
            ("tcpdump-mptcp-dss-oobr.pcap", "tcp"),
            ("tcpdump-rpki-rtr-oobr.pcap", "tcp"),
            ("tcpdump-rsvp-rsvp_obj_print-oobr.pcap", "eth"),
            ("tcpdump-tcp-auth-heapoverflow.pcap", "tcp"),
        ],
    },
    Difference {
        reason: "DNS is read at port 53, TLS and HTTP where the first data of a connection is such: not DNS elsewhere, \
                 not TLS behind SOCKS's own negotiation, but HTTP also on a port that tshark gives to SIP",
        files: &[
            ("ndpi-custom_rules_ipv6.pcapng", "dns"),
            ("ndpi-http_on_sip_port.pcap", "http"),
            ("ndpi-tls_heur__trojan-tcp-tls.pcapng", "sni"),
            ("ndpi-tls_heur__vmess-websocket.pcapng", "sni"),
            ("tcpdump-dns_udp_8053.pcap", "dns"),
        ],
    },
    Difference {
        reason: "malformed names and methods",
        files: &[("ndpi-WebattackRCE.pcap", "http"), ("ndpi-dns-invalid-chars.pcap", "dns")],
    },
    Difference {
        reason: "a request whose beginning was captured counts, also when what is behind it was not",
        files: &[("ndpi-soap.pcap", "http")],
    },
];
