//! Which packets a capture selects: filter, targets and ports.

use capture_proto::v1;

use crate::grpc::{bounds, status::Violations};
use capture_filter::Filter;
use capture_types::{FilterSpec, InnerSpec, LinkType, TargetSet, Tunnel, values};

/// The filter, checked by compiling it, which may take seconds.
pub(super) fn filter(spec: &v1::CaptureSpec, wrong: &mut Violations) -> FilterSpec {
    FilterSpec {
        expression: expression(&spec.filter, wrong),
        inner: inner(spec.inner_filter.as_ref(), wrong),
        ..FilterSpec::default()
    }
}

/// The expression about the outer packet; none if the text is empty.
pub(super) fn expression(text: &str, wrong: &mut Violations) -> Option<String> {
    const FIELD: &str = "spec.filter";
    if text.trim().is_empty() || !wrong.at_most(FIELD, text, bounds::FILTER) {
        return None;
    }
    wrong.take(FIELD, compile(&FilterSpec::expression(text)))?;
    Some(text.to_owned())
}

/// The filter on the packet inside a tunnel.
pub(super) fn inner(given: Option<&v1::InnerFilter>, wrong: &mut Violations) -> Option<InnerSpec> {
    const FIELD: &str = "spec.inner_filter.expression";
    const TUNNELS: &str = "spec.inner_filter.tunnels";
    let given = given?;
    let mut tunnels = Vec::new();
    if wrong.at_most_elements(TUNNELS, given.tunnels.len(), bounds::TUNNELS) {
        for (at, text) in given.tunnels.iter().enumerate() {
            let field = format!("{TUNNELS}[{at}]");
            if wrong.at_most(&field, text, bounds::TUNNEL) {
                tunnels.extend(wrong.take(field, text.parse::<Tunnel>()));
            }
        }
    }
    if given.expression.trim().is_empty() {
        wrong.add(
            FIELD,
            "it is empty: give an expression for the inner packet",
        );
        return None;
    }
    if !wrong.at_most(FIELD, &given.expression, bounds::FILTER) {
        return None;
    }
    let inner = InnerSpec {
        expression: given.expression.clone(),
        tunnels,
    };
    let filter = FilterSpec {
        inner: Some(inner.clone()),
        ..FilterSpec::default()
    };
    wrong.take(FIELD, compile(&filter))?;
    Some(inner)
}

fn compile(filter: &FilterSpec) -> Result<(), capture_filter::FilterError> {
    Filter::compile(filter, LinkType::Ethernet).map(drop)
}

/// Addresses, networks and ports in addition to the filter.
pub(super) fn targets(spec: &v1::CaptureSpec, wrong: &mut Violations) -> TargetSet {
    TargetSet {
        hosts: hosts(spec, wrong),
        ports: ports(spec, wrong),
    }
}

/// Addresses and networks; none for any.
pub(super) fn hosts(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<ipnet::IpNet>> {
    const FIELD: &str = "spec.targets";
    if !wrong.at_most_elements(FIELD, spec.targets.len(), bounds::TARGETS) {
        return None;
    }
    let mut hosts = Vec::new();
    for (at, text) in spec.targets.iter().enumerate() {
        let field = format!("{FIELD}[{at}]");
        if wrong.at_most(&field, text, bounds::TARGET) {
            hosts.extend(wrong.take(field, values::network(text)));
        }
    }
    (!hosts.is_empty()).then_some(hosts)
}

/// Ports; none for any.
pub(super) fn ports(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<u16>> {
    const FIELD: &str = "spec.ports";
    if !wrong.at_most_elements(FIELD, spec.ports.len(), bounds::PORTS) {
        return None;
    }
    let mut ports = Vec::new();
    for (at, port) in spec.ports.iter().enumerate() {
        let port = u16::try_from(*port).ok().filter(|port| *port > 0);
        let port = port.ok_or("give a port from 1 to 65535");
        ports.extend(wrong.take(format!("{FIELD}[{at}]"), port));
    }
    (!ports.is_empty()).then_some(ports)
}
