//! Many captures, at once and one after the other.

use anyhow::Result;
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    frame, gate,
    netns::Pair,
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
    // Capture n gets n + 1 packets of its own.
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
    // What is made once and kept, as threads for blocking calls, is there after a few.
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
