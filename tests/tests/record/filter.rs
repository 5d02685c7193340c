//! With an expression, the same packets as tcpdump with the same expression.

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file::{Direction, Packet},
    compare,
    frame::{self, ARP, IPV4, IPV6, Ipv4, QINQ, VLAN},
    gate,
    netns::{MAC_A, Namespace, Pair},
    packet_socket::PacketSocket,
    recorder::{Recorded, Recorder},
    tcpdump::Tcpdump,
};
use tempfile::TempDir;

use crate::same_packets::{every_kind_of_frame, unsegmented};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The recording of `eth0`, and tcpdump's, with the same expression.
struct Case<'a> {
    namespace: &'a Namespace,
    direction: &'a str,
    expression: &'a str,
    /// tcpdump's options and expression, if different.
    peer: Option<(&'a str, &'a str)>,
}

/// The result of a case.
struct Outcome {
    recorded: Recorded,
    ours: Vec<Packet>,
    theirs: Vec<Packet>,
}

impl<'a> Case<'a> {
    const fn of(namespace: &'a Namespace) -> Self {
        Self {
            namespace,
            direction: "in",
            expression: "",
            peer: None,
        }
    }

    /// Records while the traffic runs. `last` must match; when tcpdump has it, the traffic is over.
    fn record(&self, last: &[&Vec<u8>], traffic: impl FnOnce() -> Result<()>) -> Result<Outcome> {
        // tcpdump separates directions before its filter, like the recorder.
        let own = (self.direction, self.expression);
        let (direction, expression) = self.peer.unwrap_or(own);
        let options = ["-Q", direction, expression];
        let peer = Tcpdump::start(self.namespace, "eth0", &options)?;
        let options = ["-Q", self.direction, self.expression];
        let directory = TempDir::new()?;
        let arguments = [&["-i", "eth0"][..], &options].concat();
        let recorder = Recorder::start(self.namespace, directory.path(), &arguments)?;
        traffic()?;
        let theirs = peer
            .stop_after_frames(last)
            .with_context(|| self.expression.to_owned())?;
        let recorded = recorder.stop()?;
        let ours = recorded.packets()?;
        Ok(Outcome {
            recorded,
            ours,
            theirs,
        })
    }
}

impl Outcome {
    /// Of the packets sent, those that tcpdump kept were written and all others filtered.
    fn adds_up(&self, sent: usize) -> Result<()> {
        let ledger = self.recorded.summary.total;
        let written = self.theirs.len() as u64;
        ensure!(
            ledger.seen == sent as u64
                && ledger.written == written
                && ledger.filtered == ledger.seen - written,
            "{sent} packets were sent, tcpdump took {written}: {ledger:?}"
        );
        ensure!(ledger.filtered > 0, "everything matched");
        Ok(())
    }
}

#[test]
fn an_expression_records_what_tcpdump_records_with_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let frames = every_kind_of_frame();
    // Matches every expression below: the end of the traffic.
    let last = frame::numbered(u64::MAX, 1000);
    for expression in [
        "ip",
        "udp",
        "host 10.0.0.99",
        "udp port 4001 or arp",
        "not ip6 and not arp",
        "greater 900 or vlan",
        "ip[8] = 64 or icmp",
        "ether[0] & 1 = 0",
        "len > 60",
    ] {
        let case = Case {
            expression,
            ..Case::of(&pair.b)
        };
        let outcome = case.record(&[&last], || {
            let sender = PacketSocket::sender(&pair.a, "eth0")?;
            sender.send_all(&frames)?;
            sender.send(&last)
        })?;
        let case = || expression.to_owned();
        compare::same_packets(&outcome.ours, &outcome.theirs).with_context(case)?;
        outcome.adds_up(frames.len() + 1).with_context(case)?;
        for packet in &outcome.ours {
            assert_eq!(packet.direction, Some(Direction::In));
        }
    }
    Ok(())
}

/// An IPv4 frame to an unused address.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4 {
        protocol,
        ..Ipv4::default()
    };
    frame::ethernet(
        IPV4,
        &frame::ipv4_to(frame::ADDRESS_NOBODY, header, payload),
    )
}

/// Frames that nothing answers, so that the sender's count is complete: each with no tag, one and
/// two, in the order in which expressions have to distinguish them.
fn tagged_and_untagged() -> Vec<Vec<u8>> {
    let mut inner = vec![
        ipv4(TCP, &frame::tcp(1025, 80, b"GET / HTTP/1.0\r\n\r\n")),
        ipv4(TCP, &frame::tcp(443, 1025, &[0x17; 300])),
        ipv4(UDP, &frame::udp(53, 4001, &[0x35; 700])),
        ipv4(1, &[0, 0, 0, 0, 0, 1, 0, 1]),
        frame::ethernet(IPV6, &frame::ipv6(TCP, &frame::tcp(1025, 80, b"six"))),
        frame::ethernet(IPV6, &frame::ipv6(UDP, &frame::udp(1, 2, &[6; 90]))),
        frame::ethernet_to([0xff; 6], 0x1234, &[0x12; 60]),
        frame::ethernet_to([1, 0, 0x5e, 0, 0, 0xfb], 0x1234, &[0x12; 61]),
    ];
    // A request for an unused address.
    let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
    request.extend(MAC_A);
    request.extend(frame::ADDRESS_A);
    request.extend([0; 6]);
    request.extend(frame::ADDRESS_NOBODY);
    inner.push(frame::ethernet(ARP, &request));
    // Three fragments: only the first has the ports.
    let datagram = frame::udp(4000, 4001, &[0x44; 792]);
    for (offset, more_fragments) in [(0, true), (400, true), (600, false)] {
        let header = Ipv4 {
            protocol: UDP,
            identification: 99,
            fragment_offset: offset,
            more_fragments,
        };
        let offset = usize::from(offset);
        let end = if more_fragments { offset + 200 } else { 800 };
        let packet = frame::ipv4_to(frame::ADDRESS_NOBODY, header, &datagram[offset..end]);
        inner.push(frame::ethernet(IPV4, &packet));
    }
    let mut frames = Vec::new();
    for tags in [
        &[][..],
        &[(VLAN, 5)],
        &[(VLAN, 6)],
        &[(QINQ, 5)],
        &[(VLAN, 0)],
        &[(VLAN, 6), (VLAN, 5)],
        &[(VLAN, 5), (VLAN, 6)],
        &[(VLAN, 6), (QINQ, 5)],
        &[(VLAN, 7), (VLAN, 6), (VLAN, 5)],
    ] {
        for frame in &inner {
            let tag = |frame: Vec<u8>, &(kind, identifier): &(u16, u16)| {
                frame::tagged(kind, identifier, &frame)
            };
            frames.push(tags.iter().fold(frame.clone(), tag));
        }
    }
    frames
}

/// Another host on a bridge with `namespace`'s `eth0`. Its packets leave there, with any tag moved to
/// the metadata.
fn behind_a_bridge(namespace: &Namespace) -> Result<Namespace> {
    let host = Namespace::new()?;
    host.ip(&format!(
        "link add eth1 type veth peer name eth1 netns {}",
        namespace.name()
    ))?;
    host.ip("link set eth1 up")?;
    // Snooping would join a group and report that.
    namespace.ip("link add br0 type bridge mcast_snooping 0")?;
    for port in ["eth0", "eth1"] {
        namespace.ip(&format!("link set {port} master br0"))?;
        namespace.ip(&format!("link set {port} up"))?;
    }
    namespace.ip("link set br0 up")?;
    Ok(host)
}

/// Frames that the bridge forwards at `eth0`.
fn through_a_bridge() -> Vec<Vec<u8>> {
    let frame = frame::numbered_for_another(1, 200);
    let tag = |identifier, frame: &[u8]| frame::tagged(VLAN, identifier, frame);
    vec![
        tag(5, &frame),
        tag(6, &frame),
        tag(5, &tag(6, &frame)),
        frame,
    ]
}

/// `eth0` of `pair.b`, with traffic in both directions that nothing answers.
struct Crossroads {
    pair: Pair,
    bridged: Namespace,
    frames: Vec<Vec<u8>>,
    through_a_bridge: Vec<Vec<u8>>,
}

impl Crossroads {
    fn new() -> Result<Self> {
        let pair = Pair::new()?;
        Ok(Self {
            bridged: behind_a_bridge(&pair.b)?,
            pair,
            frames: tagged_and_untagged(),
            through_a_bridge: through_a_bridge(),
        })
    }

    /// Sends all frames, and `last` in each direction.
    fn send(&self, last_in: &[u8], last_out: &[u8]) -> Result<()> {
        let (into, out) = (
            PacketSocket::sender(&self.pair.a, "eth0")?,
            PacketSocket::sender(&self.pair.b, "eth0")?,
        );
        into.send_all(&self.frames)?;
        out.send_all(&self.frames)?;
        PacketSocket::sender(&self.bridged, "eth1")?.send_all(&self.through_a_bridge)?;
        into.send(last_in)?;
        out.send(last_out)
    }

    /// How many frames [`Self::send`] sends.
    const fn sent(&self) -> usize {
        2 * (self.frames.len() + 1) + self.through_a_bridge.len()
    }
}

/// tcpdump's verdicts are those for received packets, whose outer tag the kernel has moved to the
/// metadata. For a packet that is sent with the tag in its bytes, tcpdump has another verdict, and
/// captured the same one.
#[test]
fn tags_fragments_addresses_and_lengths_are_told_apart_as_tcpdump_does_on_the_way_in() -> Result<()>
{
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let crossroads = Crossroads::new()?;
    let Pair { a, b } = &crossroads.pair;
    // Longer than all others: `greater 1500` matches these two, whatever follows it.
    let (last_in, last_out) = (frame::numbered(1, 1514), frame::numbered(2, 1514));
    for expression in [
        "vlan",
        "not vlan",
        "vlan 5",
        "vlan 5 and vlan 6",
        "vlan 6 and vlan 5",
        "vlan and vlan",
        "vlan and tcp port 80",
        "vlan 5 and udp",
        "vlan and vlan and tcp port 80",
        "vlan and not tcp",
        "not (vlan and ip)",
        "vlan and ip6",
        "tcp port 80",
        "tcp port 80 or (vlan and tcp port 80)",
        "ip6",
        "ip6 and tcp port 80",
        "not ip and not ip6",
        "ip[6:2] & 0x1fff != 0",
        "udp port 4001",
        "udp",
        "host 10.0.0.99",
        "not host 10.0.0.99",
        "dst net 10.0.0.96/27 and not port 80",
        "arp",
        "vlan and arp host 10.0.0.99",
        "ether broadcast",
        "multicast",
        "less 80",
        "greater 700",
        "vlan and less 100",
        "tcp[tcpflags] & tcp-ack != 0 and tcp[20:4] = 0x47455420",
    ] {
        let with_the_last = format!("greater 1500 or ({expression})");
        let of = |direction| Case {
            direction,
            expression: &with_the_last,
            ..Case::of(b)
        };
        let context = || expression.to_owned();
        let inward = of("in").record(&[&last_in], || {
            let sender = PacketSocket::sender(a, "eth0")?;
            sender.send_all(&crossroads.frames)?;
            sender.send(&last_in)
        })?;
        compare::same_packets(&inward.ours, &inward.theirs).with_context(context)?;
        let sent = crossroads.frames.len() + 1;
        inward.adds_up(sent).with_context(context)?;
        assert!(inward.ours.len() > 1, "{expression} matched nothing");

        // The bridge moves tags to the metadata, too.
        let bridged = of("out").record(&[&last_out], || {
            PacketSocket::sender(&crossroads.bridged, "eth1")?
                .send_all(&crossroads.through_a_bridge)?;
            PacketSocket::sender(b, "eth0")?.send(&last_out)
        })?;
        compare::same_packets(&bridged.ours, &bridged.theirs).with_context(context)?;

        let outward = Case {
            peer: Some(("out", "")),
            ..of("out")
        };
        let outward = outward.record(&[&last_in], || {
            let sender = PacketSocket::sender(b, "eth0")?;
            sender.send_all(&crossroads.frames)?;
            sender.send(&last_in)
        })?;
        let bytes = |packets: &[Packet]| -> Vec<Vec<u8>> {
            packets.iter().map(|packet| packet.bytes.clone()).collect()
        };
        assert_eq!(bytes(&outward.ours), bytes(&inward.ours), "{expression}");
        let ledger = outward.recorded.summary.total;
        assert_eq!(ledger.seen, sent as u64, "{expression}: {ledger:?}");
        assert_eq!(
            ledger.written,
            outward.ours.len() as u64,
            "{expression}: {ledger:?}"
        );
        assert_eq!(
            ledger.seen,
            ledger.filtered + ledger.written,
            "{expression}: {ledger:?}"
        );
    }
    Ok(())
}

#[test]
fn inbound_and_outbound_choose_a_direction() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let crossroads = Crossroads::new()?;
    let last = frame::tagged(VLAN, 5, &frame::numbered(1, 1000));
    // tcpdump gets the direction by an option: packets right after its start it filters in user
    // space, where `inbound` and `outbound` match nothing.
    for (expression, direction, theirs) in [
        ("inbound", "in", ""),
        ("outbound", "out", ""),
        ("inbound and vlan", "in", "vlan"),
        (
            "vlan 5 and outbound and udp port 4001",
            "out",
            "vlan 5 and udp port 4001",
        ),
    ] {
        let case = Case {
            direction: "inout",
            expression,
            peer: Some((direction, theirs)),
            ..Case::of(&crossroads.pair.b)
        };
        let outcome = case.record(&[&last], || crossroads.send(&last, &last))?;
        let case = || expression.to_owned();
        compare::same_packets_in_any_order(&outcome.ours, &outcome.theirs).with_context(case)?;
        outcome.adds_up(crossroads.sent()).with_context(case)?;
    }
    Ok(())
}

#[test]
fn bytes_outside_a_packets_linear_part_are_seen_by_the_filter() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let lengths = [1040, 2900, 9000, 20_000, 40_000, 65_000, 65_535];
    let packets: Vec<_> = lengths.into_iter().map(unsegmented).collect();
    let (last_header, last) = unsegmented(64_000);
    for expression in [
        // The payload is the numbers 0 to 250, repeated: these are true if the packet is long
        // enough.
        "tcp[1020:4] = 0xf7f8f9fa",
        "tcp[10020:2] = 0xd3d4",
        "ip[39999] = 0x32",
        "ether[64999] = 0xbb",
        "tcp[((tcp[12] & 0xf0) >> 2) + 30000:4] = 0x83848586",
        "ip[ip[0] * 400 + 30020] & 1 = 1",
        "greater 30000",
        "tcp port 4001 and tcp[50000] != 0",
    ] {
        for (from, direction) in [(&pair.a, "in"), (&pair.b, "out")] {
            let with_the_last = format!("len = {} or ({expression})", last.len());
            let case = Case {
                direction,
                expression: &with_the_last,
                ..Case::of(&pair.b)
            };
            let outcome = case.record(&[&last], || {
                let sender = PacketSocket::sender(from, "eth0")?.with_virtio_headers()?;
                for (header, frame) in &packets {
                    sender.send_unsegmented(*header, frame)?;
                }
                sender.send_unsegmented(last_header, &last)
            })?;
            let case = || format!("{expression}, {direction}");
            compare::same_packets(&outcome.ours, &outcome.theirs).with_context(case)?;
            outcome.adds_up(packets.len() + 1).with_context(case)?;
            assert!(outcome.ours.len() > 1, "{} matched nothing", case());
        }
    }
    Ok(())
}
