//! Which packets a capture selects: filter, targets and ports.

use capture_proto::v1;

use crate::grpc::status::Violations;
use capture_filter::Filter;
use capture_types::{FilterSpec, InnerSpec, LinkType, TargetSet, Tunnel, values};

/// The filter, checked by compiling it.
pub(super) fn filter(spec: &v1::CaptureSpec, wrong: &mut Violations) -> FilterSpec {
    let outer = FilterSpec {
        expression: (!spec.filter.trim().is_empty()).then(|| spec.filter.clone()),
        ..FilterSpec::default()
    };
    let compile = |filter: &FilterSpec| Filter::compile(filter, LinkType::Ethernet).map(drop);
    let outer_is_sound = wrong.take("spec.filter", compile(&outer)).is_some();
    let Some(inner) = &spec.inner_filter else {
        return outer;
    };
    let mut tunnels = Vec::new();
    for (at, text) in inner.tunnels.iter().enumerate() {
        tunnels.extend(wrong.take(
            format!("spec.inner_filter.tunnels[{at}]"),
            text.parse::<Tunnel>(),
        ));
    }
    if inner.expression.trim().is_empty() {
        wrong.add(
            "spec.inner_filter.expression",
            "it is empty: say which inner packets",
        );
        return outer;
    }
    let expression = inner.expression.clone();
    let both = FilterSpec {
        inner: Some(InnerSpec {
            expression,
            tunnels,
        }),
        ..outer
    };
    if outer_is_sound {
        wrong.take("spec.inner_filter.expression", compile(&both));
    }
    both
}

const MOST_TARGETS: usize = 65_536;

/// Addresses, networks and ports in addition to the filter.
pub(super) fn targets(spec: &v1::CaptureSpec, wrong: &mut Violations) -> TargetSet {
    for (field, count) in [
        ("spec.targets", spec.targets.len()),
        ("spec.ports", spec.ports.len()),
    ] {
        if count > MOST_TARGETS {
            wrong.add(
                field,
                format!("{count} values: at most {MOST_TARGETS} are allowed"),
            );
            return TargetSet::default();
        }
    }
    let mut hosts = Vec::new();
    for (at, text) in spec.targets.iter().enumerate() {
        hosts.extend(wrong.take(format!("spec.targets[{at}]"), values::network(text)));
    }
    let mut ports = Vec::new();
    for (at, port) in spec.ports.iter().enumerate() {
        let port = u16::try_from(*port).ok().filter(|port| *port > 0);
        let port = port.ok_or("give a port from 1 to 65535");
        ports.extend(wrong.take(format!("spec.ports[{at}]"), port));
    }
    TargetSet {
        hosts: (!hosts.is_empty()).then_some(hosts),
        ports: (!ports.is_empty()).then_some(ports),
    }
}
