//! Many captures, at once and one after the other.

use anyhow::Result;
use aya::programs::{LinkOrder, TcAttachType, tc::TcAttachOptions};
use capture_tests::{
    attached,
    daemon::{Daemon, spec, wrote_all},
    frame, gate,
    generator::Counter,
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    scene::send_through,
    wait,
};

#[test]
fn sixty_four_captures_of_one_interface_each_with_its_own_filter_add_up() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const CAPTURES: u16 = 64;
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    for number in 0..CAPTURES {
        client.start(
            &format!("c{number}"),
            spec("eth0", &format!("udp dst port {}", 1000 + number)),
        )?;
    }
    // Capture n gets n + 1 packets.
    let mut frames = Vec::new();
    for number in 0..CAPTURES {
        for _ in 0..=number {
            let datagram = frame::udp(5, 1000 + number, b"of one capture only");
            let header = frame::Ipv4 {
                protocol: 17,
                ..frame::Ipv4::default()
            };
            frames.push(frame::ethernet(0x0800, &frame::ipv4(header, &datagram)));
        }
    }
    send_through(&pair, &frames)?;
    for number in 0..CAPTURES {
        let ended = client.stop(&format!("c{number}"))?;
        wrote_all(&ended, u64::from(number) + 1)?;
    }
    Ok(())
}

/// TCX would block others who change interfaces for seconds; clsact runs after TCX programs.
#[test]
fn many_interfaces_are_attached_to_by_clsact_where_no_program_of_others_would_hide_packets()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const INTERFACES: u64 = 40;
    let host = Namespace::new()?;
    for number in 0..INTERFACES {
        host.ip(&format!("link add v{number} type veth peer name p{number}"))?;
        host.ip(&format!("link set v{number} up"))?;
        host.ip(&format!("link set p{number} up"))?;
    }
    let mut others = Counter::load()?;
    host.run(|| -> Result<()> {
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let ingress = TcAttachType::Ingress;
        others
            .program()?
            .attach_with_options("v7", ingress, order)?;
        Ok(())
    })?;
    let daemon = Daemon::start(&host, &[])?;
    let client = daemon.client()?;
    let started = client.start("all", spec("v*", ""))?;
    assert_eq!(started.interfaces.len() as u64, INTERFACES);
    let filters = |interface: &str| attached::clsact_filters(&host, interface);
    let programs = |interface: &str| attached::tcx_programs(&host, interface);
    assert_eq!((filters("v0")?.len(), programs("v0")?.len()), (2, 0));
    // Ours first, then the other one.
    let [ours, other] = &programs("v7")?[..] else {
        panic!("{:?}", programs("v7")?);
    };
    assert!(ours.starts_with("ingress captured"), "{ours}");
    assert_eq!(other, "ingress count");
    assert_eq!(filters("v7")?.len(), 1, "egress has no program of others");
    for number in 0..INTERFACES {
        let sender = PacketSocket::sender(&host, &format!("p{number}"))?;
        for packet in 0..=number {
            sender.send(&frame::numbered(packet, 100))?;
        }
    }
    let ended = client.stop("all")?;
    wrote_all(&ended, INTERFACES * (INTERFACES + 1) / 2)?;
    for interface in &ended.interfaces {
        let number: u64 = interface.interface[1..].parse()?;
        let matched = interface.ledger.as_ref().and_then(|ledger| ledger.matched);
        assert_eq!(matched, Some(number + 1), "{}", interface.interface);
    }
    for interface in ["v0", "v7", "v39"] {
        assert_eq!(filters(interface)?, [""; 0]);
    }

    // Leftovers of a killed daemon are removed before the next one serves.
    client.start("again", spec("v*", ""))?;
    let directory = daemon.kill()?;
    assert_eq!(filters("v0")?.len(), 2, "clsact knows no owner");
    std::fs::remove_dir_all(directory.path().join("state"))?;
    let _daemon = Daemon::start_in(&host, directory, &[])?;
    for number in 0..INTERFACES {
        assert_eq!(filters(&format!("v{number}"))?, [""; 0]);
    }
    Ok(())
}

#[test]
fn a_thousand_starts_and_stops_leave_nothing_behind() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let cycle = |number: u32| -> Result<()> {
        let name = format!("n{number}");
        client.start(&name, spec("eth0", "udp"))?;
        client.stop(&name)?;
        client.delete(&name)
    };
    // Resources that are created once and kept, such as threads for blocking calls, exist after a
    // few cycles.
    (0..20).try_for_each(&cycle)?;
    let settled = || -> Result<_> {
        let mut last = daemon.resources()?;
        wait::until("the daemon to come to rest", || {
            let now = daemon.resources()?;
            let rests = now == last && now.bpf == 0;
            last = now;
            Ok(rests.then_some(now))
        })
    };
    let before = settled()?;
    (20..1020).try_for_each(&cycle)?;
    let after = settled()?;
    assert_eq!((before.bpf, before.mappings), (after.bpf, after.mappings));
    assert!(
        after.descriptors <= before.descriptors + 2,
        "{before:?} became {after:?}"
    );
    assert!(
        after.threads <= before.threads + 2,
        "{before:?} became {after:?}"
    );
    let left: Vec<_> = std::fs::read_dir(daemon.directory().join("data"))?.collect();
    assert!(left.is_empty(), "{left:?}");
    let left: Vec<_> = std::fs::read_dir(daemon.directory().join("state/captures"))?.collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
