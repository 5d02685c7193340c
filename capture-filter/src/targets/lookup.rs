//! The fragment that looks up a packet's addresses and ports in the targets' maps.

use super::{HAS_NETWORKS4, HAS_NETWORKS6, prefilter};
use crate::{
    builder::{Builder, Label},
    insn::{Cond, Size},
    ir::{Fragment, Op, Verdict},
    program::{MapRef, Side, TargetMap},
};
use capture_types::LinkType;
use capture_types::{PodStage, TargetKinds};

const TRANSPORTS: [u32; 3] = [6, 17, 132];

/// A fragment that passes packets with one of the hosts and one of the ports.
pub(crate) fn inclusion(kinds: TargetKinds, link_type: LinkType) -> Fragment {
    let mut builder = Builder::default();
    let (none, matched) = (builder.label(), builder.label());
    let network = builder.link_layer(link_type);
    let hosts = |builder: &mut Builder, layout: &Layout| {
        if kinds.hosts {
            let found = builder.label();
            addresses(builder, layout, Side::Included, found);
            builder.jump(none);
            builder.bind(found);
        }
    };

    builder.bind(network.ipv4);
    hosts(&mut builder, &IPV4);
    if kinds.ports {
        ipv4_ports(&mut builder, Side::Included, matched, none);
    }
    builder.jump(if kinds.ports { none } else { matched });

    builder.bind(network.ipv6);
    hosts(&mut builder, &IPV6);
    if kinds.ports {
        ipv6_ports(&mut builder, Side::Included, matched, none);
    }
    builder.jump(if kinds.ports { none } else { matched });

    builder.bind(network.arp);
    if kinds.hosts && !kinds.ports {
        hosts(&mut builder, &ARP);
        builder.jump(matched);
    }
    builder.bind(network.other);
    builder.bind(none);
    builder.verdict(Verdict::NoMatch);
    builder.bind(matched);
    builder.verdict(Verdict::Match);
    builder.finish()
}

/// A fragment that passes packets with none of the hosts and none of the ports.
pub(crate) fn exclusion(kinds: TargetKinds, link_type: LinkType) -> Fragment {
    let mut builder = Builder::default();
    let (excluded, kept) = (builder.label(), builder.label());
    let network = builder.link_layer(link_type);
    let hosts = |builder: &mut Builder, layout: &Layout| {
        if kinds.not_hosts {
            addresses(builder, layout, Side::Excluded, excluded);
        }
    };

    builder.bind(network.ipv4);
    hosts(&mut builder, &IPV4);
    if kinds.not_ports {
        ipv4_ports(&mut builder, Side::Excluded, excluded, kept);
    }
    builder.jump(kept);

    builder.bind(network.ipv6);
    hosts(&mut builder, &IPV6);
    if kinds.not_ports {
        ipv6_ports(&mut builder, Side::Excluded, excluded, kept);
    }
    builder.jump(kept);

    builder.bind(network.arp);
    hosts(&mut builder, &ARP);
    builder.bind(network.other);
    builder.bind(kept);
    builder.verdict(Verdict::Match);
    builder.bind(excluded);
    builder.verdict(Verdict::NoMatch);
    builder.finish()
}

/// A fragment that passes packets by the addresses of pods.
pub(crate) fn pods(stage: PodStage, link_type: LinkType) -> Fragment {
    const SOURCE: usize = 0;
    const DESTINATION: usize = 1;
    let mut builder = Builder::default();
    let (kept, left_out) = (builder.label(), builder.label());
    let network = builder.link_layer(link_type);
    for (protocol, layout) in [
        (network.ipv4, &IPV4),
        (network.ipv6, &IPV6),
        (network.arp, &ARP),
    ] {
        builder.bind(protocol);
        let mut is = |end: usize, side, found| {
            host(&mut builder, layout, layout.addresses[end], side, found);
        };
        match stage {
            PodStage::NotFromPod => is(SOURCE, Side::PodsAtInterfaces, left_out),
            PodStage::ToPod => {
                is(SOURCE, Side::PodsAtInterfaces, left_out);
                is(DESTINATION, Side::PodsByAddress, kept);
            }
            PodStage::FromPod => {
                is(DESTINATION, Side::PodsAtInterfaces, left_out);
                is(SOURCE, Side::PodsByAddress, kept);
            }
            PodStage::WithPod | PodStage::WithAnyPod => {
                let side = match stage {
                    PodStage::WithPod => Side::PodsByAddress,
                    _ => Side::Pods,
                };
                is(SOURCE, side, kept);
                is(DESTINATION, side, kept);
            }
        }
        builder.jump(match stage {
            PodStage::NotFromPod => kept,
            _ => left_out,
        });
    }
    builder.bind(network.other);
    if stage == PodStage::NotFromPod {
        builder.jump(kept);
    }
    builder.bind(left_out);
    builder.verdict(Verdict::NoMatch);
    builder.bind(kept);
    builder.verdict(Verdict::Match);
    builder.finish()
}

/// The offsets of a protocol's addresses, and the maps for them.
struct Layout {
    /// Source and destination; for ARP sender and target.
    addresses: [u32; 2],
    words: u8,
    hosts: TargetMap,
    networks: TargetMap,
    has_networks: u32,
}

const IPV4: Layout = Layout {
    addresses: [12, 16],
    words: 1,
    hosts: TargetMap::Hosts4,
    networks: TargetMap::Networks4,
    has_networks: HAS_NETWORKS4,
};
const IPV6: Layout = Layout {
    addresses: [8, 24],
    words: 4,
    hosts: TargetMap::Hosts6,
    networks: TargetMap::Networks6,
    has_networks: HAS_NETWORKS6,
};
const ARP: Layout = Layout {
    addresses: [14, 24],
    ..IPV4
};

/// Jumps to `found` if either address is a target, else continues.
fn addresses(builder: &mut Builder, layout: &Layout, side: Side, found: Label) {
    let done = builder.label();
    for map in [layout.hosts, layout.networks] {
        if map == layout.networks {
            builder.push(Op::LoadValue(MapRef::Target(side, TargetMap::Flags)));
            builder.require(Cond::Set, layout.has_networks, done);
        }
        for address in layout.addresses {
            if map == layout.hosts {
                host(builder, layout, address, side, found);
            } else {
                address_in(builder, layout, address, MapRef::Target(side, map), found);
            }
        }
    }
    builder.bind(done);
}

/// Jumps to `found` if the address at this offset is a single address of this side, else continues.
fn host(builder: &mut Builder, layout: &Layout, address: u32, side: Side, found: Label) {
    let not_this_one = builder.label();
    let last_word = address + 4 * u32::from(layout.words - 1);
    builder.load(Size::Word, last_word);
    prefilter::pass(builder, side, not_this_one);
    address_in(
        builder,
        layout,
        address,
        MapRef::Target(side, layout.hosts),
        found,
    );
    builder.bind(not_this_one);
}

/// Jumps to `found` if the address at this offset is in the map, else continues.
fn address_in(builder: &mut Builder, layout: &Layout, address: u32, map: MapRef, found: Label) {
    for word in 0..layout.words {
        builder.load(Size::Word, address + 4 * u32::from(word));
        builder.push(Op::Key(word));
    }
    builder.lookup(map, layout.words, found);
}

/// Jumps to `found` if either port of the IPv4 packet at X is a target, and to `none` if it has none.
fn ipv4_ports(builder: &mut Builder, side: Side, found: Label, none: Label) {
    let transport = builder.label();
    builder.load(Size::Byte, 9);
    for protocol in TRANSPORTS {
        builder.branch(Cond::Eq, protocol, transport);
    }
    builder.jump(none);
    builder.bind(transport);
    builder.load(Size::Half, 6);
    builder.branch(Cond::Set, 0x1fff, none);
    builder.past_ipv4_header();
    ports(builder, side, found);
}

/// [`ipv4_ports`] for IPv6.
fn ipv6_ports(builder: &mut Builder, side: Side, found: Label, none: Label) {
    let transport = builder.label();
    builder.ipv6_transport(&TRANSPORTS, transport, none);
    builder.bind(transport);
    ports(builder, side, found);
}

/// Jumps to `found` if either port at X is a target.
fn ports(builder: &mut Builder, side: Side, found: Label) {
    for port in [0, 2] {
        builder.load(Size::Half, port);
        builder.bit(MapRef::Target(side, TargetMap::Ports), found);
    }
}
