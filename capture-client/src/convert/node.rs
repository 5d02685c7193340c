use capture_proto::v1;

use super::time::{span, time};
use crate::model::{Clock, Features, NetworkInterface, Node, NodeLimits, NodeUsage};

pub(crate) fn node(node: v1::Node) -> Node {
    let features = node.features.unwrap_or_default();
    let limits = node.limits.unwrap_or_default();
    let usage = node.usage.unwrap_or_default();
    let clock = node.clock.unwrap_or_default();
    Node {
        name: node.name,
        version: node.version,
        start_time: time(node.start_time),
        kernel_release: node.kernel_release,
        architecture: node.architecture,
        features: Features {
            attach_method: features.attach_method,
            probes: features.probes.into_iter().collect(),
        },
        limits: NodeLimits {
            max_active_captures: limits.max_active_captures,
            max_captures: limits.max_captures,
            ring_bytes: limits.ring_bytes,
            disk_bytes: limits.disk_bytes,
            max_packet_readers: limits.max_packet_readers,
        },
        usage: NodeUsage {
            active_captures: usage.active_captures,
            captures: usage.captures,
            ring_bytes: usage.ring_bytes,
            disk_bytes: usage.disk_bytes,
            disk_free_bytes: usage.disk_free_bytes,
            packet_readers: usage.packet_readers,
        },
        clock: Clock {
            now: time(clock.now),
            synchronised: clock.synchronised,
            max_error: span(clock.max_error),
        },
        caller_role: node.caller_role,
        caller: node.caller,
        log_level: node.log_level,
    }
}

pub(crate) fn interface(interface: v1::NetworkInterface) -> NetworkInterface {
    NetworkInterface {
        name: interface.name,
        ifindex: interface.ifindex,
        up: interface.up,
        loopback: interface.loopback,
        link_type: interface.link_type,
        hardware_address: hardware_address(&interface.hardware_address),
        captures: interface.captures,
    }
}

/// Bytes in hexadecimal with colons between them; `None` if there are none.
fn hardware_address(bytes: &[u8]) -> Option<String> {
    let octets: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (!octets.is_empty()).then(|| octets.join(":"))
}
