//! Which packets.

use capture_types::{FilterSpec, InnerSpec, TargetSet, Tunnel, values};
use clap::Args;
use ipnet::IpNet;

/// A filter's parts. A packet has to pass all that are given.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Which packets: a pcap-filter(7) expression, as for tcpdump.
    #[arg(value_name = "EXPRESSION")]
    pub expression: Vec<String>,

    /// Hosts and ports.
    #[command(flatten)]
    pub targets: TargetArgs,

    /// A pcap-filter(7) expression about the Ethernet frame inside a tunnel; and-ed with EXPRESSION, which
    /// is about the outer packet.
    #[arg(long, value_name = "EXPRESSION")]
    pub inner: Option<String>,

    /// A tunnel that --inner looks into, on any port or on the one given. Repeatable; both protocols on any
    /// port by default.
    #[arg(
        long = "tunnel",
        value_name = "vxlan[:PORT]|geneve[:PORT]",
        requires = "inner"
    )]
    pub tunnels: Vec<Tunnel>,
}

/// Hosts and ports; they can change while a capture runs.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Only packets from or to this address or network; and-ed with EXPRESSION. Repeatable, up to 65,536
    /// times.
    #[arg(long = "host", value_name = "ADDRESS|CIDR", value_parser = values::network)]
    pub hosts: Vec<IpNet>,

    /// Only packets from or to this TCP, UDP or SCTP port; and-ed with EXPRESSION. Repeatable.
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,

    /// No packets from or to this address or network. Repeatable, up to 65,536 times.
    #[arg(long = "not-host", value_name = "ADDRESS|CIDR", value_parser = values::network)]
    pub not_hosts: Vec<IpNet>,

    /// No packets from or to this TCP, UDP or SCTP port. Repeatable.
    #[arg(long = "not-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub not_ports: Vec<u16>,
}

impl TargetArgs {
    /// The targets as sets.
    #[must_use]
    pub fn set(&self) -> TargetSet {
        fn given<T: Clone>(values: &[T]) -> Option<Vec<T>> {
            (!values.is_empty()).then(|| values.to_vec())
        }
        TargetSet {
            hosts: given(&self.hosts),
            ports: given(&self.ports),
            not_hosts: given(&self.not_hosts),
            not_ports: given(&self.not_ports),
        }
    }
}

impl FilterArgs {
    /// The filter, and the targets that it begins with.
    #[must_use]
    pub fn filter(&self) -> (FilterSpec, TargetSet) {
        let targets = self.targets.set();
        let spec = FilterSpec {
            expression: (!self.expression.is_empty()).then(|| self.expression.join(" ")),
            targets: targets.kinds(),
            inner: self.inner.clone().map(|expression| InnerSpec {
                expression,
                tunnels: self.tunnels.clone(),
            }),
        };
        (spec, targets)
    }
}
