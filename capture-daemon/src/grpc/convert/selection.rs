//! The packets that a capture selects: filter, targets and ports.

use capture_proto::v1;
use capture_session::filters;
use ipnet::IpNet;

use crate::grpc::{bounds, status::Violations};
use capture_filter::FilterError;
use capture_types::{FilterSpec, InnerSpec, TargetSet, Tunnel, values};

const EXPRESSION: &str = "spec.filter";
const INNER: &str = "spec.inner_filter.expression";

/// The filter, checked by compiling it, which may take seconds.
pub(super) fn filter(spec: &v1::CaptureSpec, wrong: &mut Violations) -> FilterSpec {
    let filter = FilterSpec {
        expression: written_expression(&spec.filter, wrong),
        inner: written_inner(spec.inner_filter.as_ref(), wrong),
        ..FilterSpec::default()
    };
    compile(&filter, wrong);
    filter
}

/// The expression about the outer packet, checked by compiling it; none if the text is empty.
pub(super) fn expression(text: &str, wrong: &mut Violations) -> Option<String> {
    let expression = written_expression(text, wrong)?;
    compile(&FilterSpec::expression(&expression), wrong);
    Some(expression)
}

/// The filter on the packet inside a tunnel, checked by compiling it.
pub(super) fn inner(given: Option<&v1::InnerFilter>, wrong: &mut Violations) -> Option<InnerSpec> {
    let inner = written_inner(given, wrong)?;
    let filter = FilterSpec {
        inner: Some(inner.clone()),
        ..FilterSpec::default()
    };
    compile(&filter, wrong);
    Some(inner)
}

fn compile(filter: &FilterSpec, wrong: &mut Violations) {
    match filters::compiler().compile(filter) {
        Ok(_) => {}
        Err(error @ FilterError::Inner(_)) => wrong.add(INNER, error),
        Err(error) => wrong.add(EXPRESSION, error),
    }
}

fn written_expression(text: &str, wrong: &mut Violations) -> Option<String> {
    let is_given = !text.trim().is_empty() && wrong.at_most(EXPRESSION, text, bounds::FILTER);
    is_given.then(|| text.to_owned())
}

fn written_inner(given: Option<&v1::InnerFilter>, wrong: &mut Violations) -> Option<InnerSpec> {
    const TUNNELS: &str = "spec.inner_filter.tunnels";
    let given = given?;
    let mut tunnels = Vec::new();
    if wrong.at_most_elements(TUNNELS, given.tunnels.len(), capture_filter::MAX_TUNNELS) {
        for (at, text) in given.tunnels.iter().enumerate() {
            let field = format!("{TUNNELS}[{at}]");
            if wrong.at_most(&field, text, bounds::TUNNEL) {
                tunnels.extend(wrong.take(field, text.parse::<Tunnel>()));
            }
        }
    }
    if given.expression.trim().is_empty() {
        wrong.add(
            INNER,
            "it is empty: give an expression for the inner packet",
        );
        return None;
    }
    if !wrong.at_most(INNER, &given.expression, bounds::FILTER) {
        return None;
    }
    Some(InnerSpec {
        expression: given.expression.clone(),
        tunnels,
    })
}

/// Addresses, networks and ports in addition to the filter.
pub(super) fn targets(spec: &v1::CaptureSpec, wrong: &mut Violations) -> TargetSet {
    TargetSet {
        hosts: hosts(spec, wrong),
        ports: ports(spec, wrong),
        not_hosts: not_hosts(spec, wrong),
        not_ports: not_ports(spec, wrong),
    }
}

/// Addresses and networks; `None` for any.
pub(super) fn hosts(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<IpNet>> {
    networks("spec.targets", &spec.targets, wrong)
}

/// Excluded addresses and networks.
pub(super) fn not_hosts(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<IpNet>> {
    networks("spec.excluded_targets", &spec.excluded_targets, wrong)
}

/// Ports; `None` for any.
pub(super) fn ports(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<u16>> {
    numbers("spec.ports", &spec.ports, wrong)
}

/// Excluded ports.
pub(super) fn not_ports(spec: &v1::CaptureSpec, wrong: &mut Violations) -> Option<Vec<u16>> {
    numbers("spec.excluded_ports", &spec.excluded_ports, wrong)
}

fn networks(field: &str, given: &[String], wrong: &mut Violations) -> Option<Vec<IpNet>> {
    if !wrong.at_most_elements(field, given.len(), bounds::TARGETS) {
        return None;
    }
    let mut networks = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let field = format!("{field}[{at}]");
        if wrong.at_most(&field, text, bounds::TARGET) {
            networks.extend(wrong.take(field, values::network(text)));
        }
    }
    (!networks.is_empty()).then_some(networks)
}

fn numbers(field: &str, given: &[u32], wrong: &mut Violations) -> Option<Vec<u16>> {
    if !wrong.at_most_elements(field, given.len(), bounds::PORTS) {
        return None;
    }
    let mut ports = Vec::new();
    for (at, port) in given.iter().enumerate() {
        let port = u16::try_from(*port).ok().filter(|port| *port > 0);
        let port = port.ok_or("give a port from 1 to 65535");
        ports.extend(wrong.take(format!("{field}[{at}]"), port));
    }
    (!ports.is_empty()).then_some(ports)
}
