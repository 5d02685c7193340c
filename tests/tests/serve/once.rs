//! A capture that records each packet once, in the API and in the client.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    client::Capturectl,
    daemon::{Daemon, spec, wrote_all},
    gate,
    pods::{Node, send},
};

const PACKETS: u32 = 100;

#[test]
fn later_sights_of_a_packet_are_counted_and_not_lost() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let (a, b) = (node.pod(2, &[3])?, node.pod(3, &[2])?);
    let daemon = Daemon::start(&node.namespace, &[])?;
    let client = daemon.client()?;
    for once in [None, Some(true)] {
        let name = format!("once-{}", once.is_some());
        let started = client.start(
            &name,
            v1::CaptureSpec {
                each_packet_once: once,
                ..spec("any", "")
            },
        )?;
        let shown = started.spec.context("no specification")?.each_packet_once;
        assert_eq!(shown, Some(once.is_some()));
    }
    send(&a.namespace, &b.namespace, b.address, PACKETS)?;

    let packets = u64::from(PACKETS);
    wrote_all(&client.stop("once-false")?, 2 * packets)?;
    let capture = client.stop("once-true")?;
    wrote_all(&capture, packets)?;
    for (interface, written, duplicate) in [(&a.interface, packets, 0), (&b.interface, 0, packets)]
    {
        let of_interface = capture.interfaces.iter();
        let mut of_interface = of_interface.filter(|one| one.interface == **interface);
        let ledger = of_interface.next().and_then(|one| one.ledger);
        let ledger = ledger.context("no ledger of an interface")?;
        ensure!(
            (ledger.written, ledger.duplicate) == (Some(written), Some(duplicate)),
            "{interface}: {ledger:?}"
        );
    }
    let capturectl = Capturectl::at(&node.namespace, &daemon.socket())?;
    let text = capturectl.output(&["get", "once-true"])?;
    for part in [
        "each once, at its first interface",
        "duplicate: 100 packets had been seen at another interface",
    ] {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    daemon.end()?;
    Ok(())
}
