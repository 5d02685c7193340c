//! Tests of the harness: what the other tests rely on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use aya::programs::TcAttachType;
use capture_tests::{
    compare, frame, gate,
    generator::{Counter, Generator, Load},
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    tcpdump::Tcpdump,
};

#[test]
fn a_namespace_is_removed_also_when_the_test_panics() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let namespace = Namespace::new()?;
    let path = namespace.path();
    assert!(path.exists());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _namespace = namespace;
        panic!("as a failing test does");
    }));
    assert!(outcome.is_err());
    assert!(!path.exists());
    Ok(())
}

#[test]
fn two_tcpdumps_agree_on_every_frame_sent_and_nothing_else_is_there() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let one = Tcpdump::start(&pair.b, "eth0", &["-Q", "in"])?;
    let other = Tcpdump::start(&pair.b, "eth0", &[])?;
    let frames: Vec<_> = (0..500)
        .map(|number| frame::numbered(number, 60 + number as usize))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
    let one = one.stop_after(frames.len())?;
    let other = other.stop_after(frames.len())?;
    compare::same_packets(&one, &other)?;
    compare::same_frames(&one, &frames)
}

#[test]
fn the_generator_sends_exactly_as_many_packets_as_it_was_told() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let mut counter = Counter::load()?;
    pair.b.run(|| -> Result<()> {
        counter.program()?.attach("eth0", TcAttachType::Ingress)?;
        Ok(())
    })?;
    let socket = PacketSocket::open(&pair.b, "eth0")?;
    let mut generator = Generator::load()?;
    for (count, rate, length) in [(100_001, None, 64), (2_000, Some(50_000), 1514)] {
        let before = counter.count()?;
        let sent = generator.send(
            &pair.b,
            "eth0",
            &Load {
                frame: frame::numbered(0, length),
                count,
                rate,
                cpu: None,
            },
        )?;
        assert_eq!(sent.count, u64::from(count));
        assert_eq!(counter.count()? - before, u64::from(count));
        if let Some(rate) = rate {
            assert!(sent.rate() <= rate as f64 * 1.01, "{sent:?}");
        }
    }
    for expected in 0..1000 {
        let frames = socket.receive(1)?;
        assert_eq!(frame::number(&frames[0]), Some(expected));
    }
    Ok(())
}
