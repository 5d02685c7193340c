//! The fragment that looks a packet's addresses and ports up in the targets' maps.

use super::{HAS_NETWORKS4, HAS_NETWORKS6, prefilter};
use crate::{
    builder::{Builder, Label},
    insn::{Cond, Size},
    ir::{Fragment, Op, Verdict},
    program::MapRef,
};
use capture_types::LinkType;
use capture_types::TargetKinds;

/// The fragment that looks the packet's addresses and ports up.
pub(crate) fn target_lookup(kinds: TargetKinds, link_type: LinkType) -> Fragment {
    let mut builder = Builder::default();
    let (none, matched) = (builder.label(), builder.label());
    let network = builder.link_layer(link_type);

    builder.bind(network.ipv4);
    if kinds.hosts {
        addresses(&mut builder, &IPV4, none);
    }
    if kinds.ports {
        let transport = transport(&mut builder, 9);
        builder.verdict(Verdict::NoMatch);
        builder.bind(transport);
        builder.load(Size::Half, 6);
        builder.branch(Cond::Set, 0x1fff, none);
        builder.past_ipv4_header();
        ports(&mut builder, 0, matched);
        builder.verdict(Verdict::NoMatch);
    } else {
        builder.verdict(Verdict::Match);
    }

    builder.bind(network.ipv6);
    if kinds.hosts {
        addresses(&mut builder, &IPV6, none);
    }
    if kinds.ports {
        let transport = transport(&mut builder, 6);
        builder.verdict(Verdict::NoMatch);
        builder.bind(transport);
        ports(&mut builder, 40, matched);
        builder.verdict(Verdict::NoMatch);
    } else {
        builder.verdict(Verdict::Match);
    }

    builder.bind(network.arp);
    if kinds.hosts && !kinds.ports {
        addresses(&mut builder, &ARP, none);
        builder.verdict(Verdict::Match);
    }
    builder.bind(none);
    builder.verdict(Verdict::NoMatch);
    builder.bind(matched);
    builder.verdict(Verdict::Match);
    builder.finish()
}

/// Where a protocol has its addresses, and the maps for them.
struct Layout {
    addresses: [u32; 2],
    words: u8,
    hosts: MapRef,
    networks: MapRef,
    has_networks: u32,
}

const IPV4: Layout = Layout {
    addresses: [12, 16],
    words: 1,
    hosts: MapRef::Hosts4,
    networks: MapRef::Networks4,
    has_networks: HAS_NETWORKS4,
};
const IPV6: Layout = Layout {
    addresses: [8, 24],
    words: 4,
    hosts: MapRef::Hosts6,
    networks: MapRef::Networks6,
    has_networks: HAS_NETWORKS6,
};
const ARP: Layout = Layout {
    addresses: [14, 24],
    ..IPV4
};

/// Continues if either address is a target.
fn addresses(builder: &mut Builder, layout: &Layout, none: Label) {
    let found = builder.label();
    for map in [layout.hosts, layout.networks] {
        if map == layout.networks {
            builder.push(Op::LoadValue(MapRef::TargetFlags));
            builder.require(Cond::Set, layout.has_networks, none);
        }
        for address in layout.addresses {
            let not_this_one = builder.label();
            if map == layout.hosts {
                let last_word = address + 4 * u32::from(layout.words - 1);
                builder.load(Size::Word, last_word);
                prefilter::pass(builder, not_this_one);
            }
            for word in 0..layout.words {
                builder.load(Size::Word, address + 4 * u32::from(word));
                builder.push(Op::Key(word));
            }
            builder.lookup(map, layout.words, found);
            builder.bind(not_this_one);
        }
    }
    builder.push(Op::Jump(none.index()));
    builder.bind(found);
}

/// Jumps to the returned label if the protocol at `offset` has ports.
fn transport(builder: &mut Builder, offset: u32) -> Label {
    let has_ports = builder.label();
    builder.load(Size::Byte, offset);
    for protocol in [6, 17, 132] {
        builder.branch(Cond::Eq, protocol, has_ports);
    }
    has_ports
}

/// Jumps to `matched` if either port at `offset` is a target.
fn ports(builder: &mut Builder, offset: u32, matched: Label) {
    for port in [offset, offset + 2] {
        builder.load(Size::Half, port);
        builder.bit(MapRef::Ports, matched);
    }
}
