//! Settings of the analysis: limits and thresholds.

use crate::{decode::FragmentLimits, flow::FlowLimits};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Limits and thresholds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum live flows.
    pub flows: FlowLimits,
    /// Limits of waiting fragments.
    pub fragments: FragmentLimits,
    /// Maximum pairs of addresses that are told apart, of each kind.
    pub pairs: usize,
    /// Conversations kept for the report, of each kind; the largest are kept.
    pub conversations: usize,
    /// Rows of DNS, TLS and HTTP kept for the report, of each.
    pub rows: usize,
    /// Thresholds of findings.
    pub thresholds: Thresholds,
    /// Security hints to report.
    pub hints: Hints,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flows: FlowLimits::default(),
            fragments: FragmentLimits::default(),
            pairs: 200_000,
            conversations: 50_000,
            rows: 20_000,
            thresholds: Thresholds::default(),
            hints: Hints::default(),
        }
    }
}

/// A share of all, from 0 to 1, and a minimum count.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Minimum count.
    pub least: u64,
    /// Threshold of a warning.
    pub warning: f64,
    /// Threshold of a critical finding.
    pub critical: f64,
}

/// A time in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Threshold of a warning.
    pub warning: u64,
    /// Threshold of a critical finding.
    pub critical: u64,
}

/// Thresholds of findings.
#[derive(Debug, Clone)]
pub struct Thresholds {
    /// Retransmitted data segments among all of a connection.
    pub retransmissions: Share,
    /// Segments out of order of a connection.
    pub out_of_order: u64,
    /// Segments of a connection that filled the window.
    pub window_full: u64,
    /// How long a side accepted no data.
    pub zero_window: Span,
    /// Silence after which a reset means a forgotten connection, nanoseconds.
    pub idle: u64,
    /// How long a server may take to answer, beyond the round trip, nanoseconds.
    pub slow_server: u64,
    /// How long a handshake may take, nanoseconds.
    pub slow_handshake: u64,
    /// How long a name server may take, nanoseconds.
    pub slow_dns: u64,
    /// Questions for non-existent names before one that exists, from which it is a storm.
    pub search_storm: u64,
    /// ARP requests from one device within a second.
    pub arp_storm: u64,
    /// Days before a certificate's end from which it is reported.
    pub certificate_days: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            retransmissions: Share {
                least: 3,
                warning: 0.01,
                critical: 0.05,
            },
            out_of_order: 10,
            window_full: 3,
            zero_window: Span {
                warning: 100 * MILLISECOND,
                critical: SECOND,
            },
            idle: 30 * SECOND,
            slow_server: SECOND,
            slow_handshake: 300 * MILLISECOND,
            slow_dns: 500 * MILLISECOND,
            search_storm: 10,
            arp_storm: 100,
            certificate_days: 14,
        }
    }
}

/// Security hints: each has its threshold, and is disabled if that is absent.
#[derive(Debug, Clone)]
pub struct Hints {
    /// Ports of one host, or hosts on one port, that one address tries without success.
    pub scan: Option<u64>,
    /// Short connections from one address to one port of a login service.
    pub brute_force: Option<u64>,
    /// SYNs to one port without a completed handshake.
    pub flood: Option<u64>,
    /// Different names under one domain that one client asks for.
    pub dns_tunnel: Option<u64>,
    /// Connections from one address to one server at even intervals.
    pub beaconing: Option<u64>,
    /// Bytes that a private address sends to a public one, if it gets less than a tenth back.
    pub exfiltration: Option<u64>,
    /// Private hosts that one private address reaches at ports of remote administration.
    pub lateral_movement: Option<u64>,
}

/// A security hint that can be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `Hints` say what they are")]
pub enum Hint {
    Scan,
    BruteForce,
    Flood,
    DnsTunnel,
    Beaconing,
    Exfiltration,
    LateralMovement,
}

impl Hint {
    /// All hints.
    pub const ALL: [Self; 7] = [
        Self::Scan,
        Self::BruteForce,
        Self::Flood,
        Self::DnsTunnel,
        Self::Beaconing,
        Self::Exfiltration,
        Self::LateralMovement,
    ];

    /// Its name; the kind of its findings is `security-` plus this.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::BruteForce => "brute-force",
            Self::Flood => "flood",
            Self::DnsTunnel => "dns-tunnel",
            Self::Beaconing => "beaconing",
            Self::Exfiltration => "exfiltration",
            Self::LateralMovement => "lateral-movement",
        }
    }
}

impl Hints {
    /// Disables a hint.
    pub const fn without(&mut self, hint: Hint) {
        let threshold = match hint {
            Hint::Scan => &mut self.scan,
            Hint::BruteForce => &mut self.brute_force,
            Hint::Flood => &mut self.flood,
            Hint::DnsTunnel => &mut self.dns_tunnel,
            Hint::Beaconing => &mut self.beaconing,
            Hint::Exfiltration => &mut self.exfiltration,
            Hint::LateralMovement => &mut self.lateral_movement,
        };
        *threshold = None;
    }
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            scan: Some(100),
            brute_force: Some(30),
            flood: Some(1_000),
            dns_tunnel: Some(200),
            beaconing: Some(12),
            exfiltration: Some(100 << 20),
            lateral_movement: Some(10),
        }
    }
}
