//! Changes of a running capture.

use std::thread;

use anyhow::{Context as _, Result};
use capture_proto::v1;
use capture_tests::{
    capture_file,
    daemon::{Daemon, spec, wrote_all},
    frame, gate,
    generator::{Generator, Load},
    netns::Pair,
};

/// The last byte of a packet's number.
const EVEN: &str = "ether[49] & 1 = 0";
const EVERY_FOURTH: &str = "ether[49] & 3 = 0";

/// An update of this field to its value in a specification.
fn update(path: &str, change: impl FnOnce(&mut v1::CaptureSpec)) -> v1::UpdateCaptureRequest {
    let mut spec = v1::CaptureSpec::default();
    change(&mut spec);
    v1::UpdateCaptureRequest {
        name: "change".to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..Default::default()
    }
}

/// Changes after which every fourth packet matches, however far they have progressed: programs are
/// replaced, or the targets in their maps.
fn changes() -> Vec<v1::UpdateCaptureRequest> {
    let targets = |targets: &[&str]| {
        let targets = targets.iter().map(ToString::to_string).collect();
        update("targets", |spec| spec.targets = targets)
    };
    vec![
        update("filter", |spec| spec.filter = EVERY_FOURTH.to_owned()),
        targets(&["10.0.0.99"]),
        targets(&["10.0.0.0/24", "10.0.0.99", "fd00::/8"]),
        update("ports", |spec| spec.ports = vec![frame::PORT.into(), 9]),
        update("filter", |spec| spec.filter = EVEN.to_owned()),
        targets(&["10.0.0.99"]),
        update("ports", |spec| spec.ports = Vec::new()),
        targets(&[]),
    ]
}

#[test]
fn a_packet_that_the_old_and_the_new_filter_match_is_recorded_once() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    const SENT: u32 = 400_000;
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let mut generator = Generator::load()?;
    client.start(
        "change",
        v1::CaptureSpec {
            // Room for all matching packets, in case the recorder gets no CPU time.
            ring_size: Some(64 << 20),
            ..spec("eth0", EVEN)
        },
    )?;
    let load = Load {
        frame: frame::numbered(0, 64),
        count: SENT,
        rate: Some(100_000),
        cpu: None,
    };
    let changed = thread::scope(|scope| -> Result<usize> {
        let sending = scope.spawn(|| generator.send(&pair.b, "eth0", &load));
        let mut changed = 0;
        for change in changes().iter().cycle() {
            if sending.is_finished() {
                break;
            }
            client.wait(client.captures.clone().update_capture(change.clone()))?;
            changed += 1;
        }
        let sent = sending.join().ok().context("the generator panicked")??;
        assert_eq!(sent.count, u64::from(SENT));
        Ok(changed)
    })?;
    assert!(
        changed > 2 * changes().len(),
        "only {changed} changes while packets came"
    );
    let ended = client.stop("change")?;
    let mut numbers = Vec::new();
    for file in client.list_files("change")? {
        let contents = capture_file::read(&daemon.files("change").join(&file.name))?;
        numbers.extend(
            contents
                .packets
                .iter()
                .filter_map(|packet| frame::number(&packet.bytes)),
        );
    }
    wrote_all(&ended, numbers.len() as u64)?;
    let ledger = ended.ledger.context("no ledger")?;
    assert_eq!(ledger.seen, Some(SENT.into()), "{ledger:?}");
    assert_eq!(ledger.ring_full, Some(0), "{ledger:?}");
    for pair in numbers.windows(2) {
        assert!(pair[0] < pair[1], "{} came before {}", pair[0], pair[1]);
    }
    assert!(numbers.iter().all(|number| number % 2 == 0));
    let fourths = numbers.iter().filter(|number| *number % 4 == 0).count();
    assert_eq!(
        fourths,
        SENT as usize / 4,
        "a packet that every filter matches was missed in {changed} changes"
    );
    Ok(())
}
