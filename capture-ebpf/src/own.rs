//! Recognises packets of the daemon's own connections: a capture that records the stream of its own
//! packets would feed itself.
//!
//! A packet is the daemon's own if one of its TCP ports is a port where the daemon listens, and the
//! kernel has a socket for the connection in the interface's network namespace. Comparing ports costs
//! other packets a few loads; the socket is looked up only when a port matches. Traffic of others who use
//! the same port, such as a pod's, has no socket in this namespace and is recorded.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_CURRENT_NETNS, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp},
};
use capture_common::{LINK_ETHERNET, OWN_ENDPOINTS};

use crate::{
    config,
    packet::{linear, load_slowly},
};

// From include/uapi/linux/if_ether.h, in.h and include/net/tcp_states.h.
const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const IPPROTO_TCP: u8 = 6;
const FRAGMENT_OFFSET: u16 = 0x1fff_u16.to_be();
const TCP_LISTEN: u32 = 10;

/// Offset of the addresses in an IP header.
const IPV4_ADDRESSES: usize = 12;
const IPV6_ADDRESSES: usize = 8;

/// Whether the packet belongs to a connection of the daemon.
#[inline(always)]
pub fn is_own<const LINK: u8>(skb: *mut __sk_buff) -> bool {
    // The verifier knows this number: without own endpoints the rest is removed.
    if config::own_ports() == 0 {
        return false;
    }
    let network = if LINK == LINK_ETHERNET {
        ETHERNET_HEADER
    } else {
        0
    };
    // SAFETY: the kernel passes every program a valid context.
    let protocol = unsafe { (*skb).protocol };
    if protocol == ETH_P_IP {
        is_own_ipv4(skb, network).unwrap_or(false)
    } else if protocol == ETH_P_IPV6 {
        is_own_ipv6(skb, network).unwrap_or(false)
    } else {
        false
    }
}

#[inline(always)]
fn is_own_ipv4(skb: *mut __sk_buff, network: usize) -> Option<bool> {
    let (version, fragment, protocol) = ipv4_header(skb, network)?;
    if protocol != IPPROTO_TCP || fragment & FRAGMENT_OFFSET != 0 {
        return Some(false);
    }
    let ports = ports(skb, network + usize::from(version & 15) * 4)?;
    if !is_own_port(ports[0]) && !is_own_port(ports[1]) {
        return Some(false);
    }
    let addresses = load_slowly::<[u32; 2]>(skb, network + IPV4_ADDRESSES)?;
    // As the daemon's socket would receive it.
    let mut tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
        saddr: addresses[0],
        daddr: addresses[1],
        sport: ports[0],
        dport: ports[1],
    };
    if !is_own_port(tuple.dport) {
        tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
            saddr: tuple.daddr,
            daddr: tuple.saddr,
            sport: tuple.dport,
            dport: tuple.sport,
        };
    }
    let local = [0, 0, 0xffff_u32.to_be(), tuple.daddr];
    let listening = match_endpoint(tuple.dport, &local)?;
    Some(has_socket(skb, &raw mut tuple, listening))
}

#[inline(always)]
fn is_own_ipv6(skb: *mut __sk_buff, network: usize) -> Option<bool> {
    if ipv6_next(skb, network)? != IPPROTO_TCP {
        return Some(false);
    }
    let ports = ports(skb, network + IPV6_HEADER)?;
    if !is_own_port(ports[0]) && !is_own_port(ports[1]) {
        return Some(false);
    }
    let addresses = load_slowly::<[[u32; 4]; 2]>(skb, network + IPV6_ADDRESSES)?;
    let mut tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
        saddr: addresses[0],
        daddr: addresses[1],
        sport: ports[0],
        dport: ports[1],
    };
    if !is_own_port(tuple.dport) {
        tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
            saddr: tuple.daddr,
            daddr: tuple.saddr,
            sport: tuple.dport,
            dport: tuple.sport,
        };
    }
    let listening = match_endpoint(tuple.dport, &tuple.daddr)?;
    Some(has_socket(skb, &raw mut tuple, listening))
}

#[inline(always)]
fn is_own_port(port: u16) -> bool {
    let own = config::own_ports();
    let mut index = 0;
    while index < OWN_ENDPOINTS {
        if (own >> (16 * index)) as u16 == port && port != 0 {
            return true;
        }
        index += 1;
    }
    false
}

/// How one end of a connection matches an endpoint of the daemon; `None` if it does not.
#[derive(Clone, Copy)]
enum Listening {
    /// On this address.
    Address,
    /// On every address.
    Everywhere,
}

#[inline(always)]
fn match_endpoint(port: u16, address: &[u32; 4]) -> Option<Listening> {
    let own = config::own_ports();
    let mut index = 0;
    while index < OWN_ENDPOINTS {
        if (own >> (16 * index)) as u16 == port {
            let endpoint = config::own_address(index);
            if endpoint == [0; 4] {
                return Some(Listening::Everywhere);
            }
            if endpoint == *address {
                return Some(Listening::Address);
            }
        }
        index += 1;
    }
    None
}

/// Whether the kernel has a socket for the connection. A socket that listens on every address matches
/// any packet to its port, so it proves nothing about a connection that is only being opened.
#[inline(always)]
fn has_socket<T>(skb: *mut __sk_buff, tuple: *mut T, listening: Listening) -> bool {
    // SAFETY: the tuple is on the stack and as long as its size says; the socket is released once.
    unsafe {
        let socket = bpf_skc_lookup_tcp(
            skb.cast(),
            tuple.cast::<bpf_sock_tuple>(),
            size_of::<T>() as u32,
            BPF_F_CURRENT_NETNS as i64 as u64,
            0,
        );
        if socket.is_null() {
            return false;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        state != TCP_LISTEN || matches!(listening, Listening::Address)
    }
}

/// The fields of an IPv4 header that describe what follows it: its length, the fragment and the
/// protocol.
#[inline(always)]
fn ipv4_header(skb: *mut __sk_buff, network: usize) -> Option<(u8, u16, u8)> {
    if let Some(header) = linear(skb, network, 20) {
        // SAFETY: 20 bytes are there; the fragment is aligned to 2 bytes, as every header is.
        return Some(unsafe { (*header, header.add(6).cast::<u16>().read(), *header.add(9)) });
    }
    let header = load_slowly::<[u8; 20]>(skb, network)?;
    Some((
        header[0],
        u16::from_ne_bytes([header[6], header[7]]),
        header[9],
    ))
}

/// The protocol after an IPv6 header.
#[inline(always)]
fn ipv6_next(skb: *mut __sk_buff, network: usize) -> Option<u8> {
    match linear(skb, network, IPV6_HEADER) {
        // SAFETY: that many bytes are there.
        Some(header) => Some(unsafe { *header.add(6) }),
        None => load_slowly(skb, network + 6),
    }
}

/// Source and destination port, in network byte order.
#[inline(always)]
fn ports(skb: *mut __sk_buff, transport: usize) -> Option<[u16; 2]> {
    match linear(skb, transport, 4) {
        // SAFETY: 4 bytes are there, aligned to 2.
        Some(header) => Some(unsafe { header.cast::<[u16; 2]>().read() }),
        None => load_slowly(skb, transport),
    }
}
