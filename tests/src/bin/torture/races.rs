//! Concurrent calls.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    daemon::spec,
    frame,
    scene::{numbered_frames, send_through},
};

use crate::{Attack, scene::Scene};

pub(crate) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "concurrent-filters",
        done: "30 times two UpdateCapture of the filter at the same time, then packets for one of the two",
        quick: true,
        run: concurrent_filters,
    },
    Attack {
        name: "concurrent-fields",
        done: "30 times UpdateCapture of targets and of ports at the same time",
        quick: true,
        run: concurrent_fields,
    },
    Attack {
        name: "concurrent-names",
        done: "20 times StartCapture, StopCapture and DeleteCapture of one name at the same time",
        quick: true,
        run: concurrent_names,
    },
];

fn update(spec: v1::CaptureSpec, path: &str) -> v1::UpdateCaptureRequest {
    v1::UpdateCaptureRequest {
        name: "raced".to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..Default::default()
    }
}

fn concurrent_filters() -> Result<String> {
    let scene = Scene::new(&[])?;
    let client = &scene.client;
    client.start("raced", spec("eth0", ""))?;
    let matching = format!("udp port {}", frame::PORT);
    let (mut expected, mut shown_matching) = (0, 0);
    for round in 0..30 {
        let one = update(spec("eth0", &matching), "filter");
        let two = update(spec("eth0", "udp port 9"), "filter");
        let (mut first, mut second) = (client.captures.clone(), client.captures.clone());
        let (one, two) = client
            .wait(async { tokio::join!(first.update_capture(one), second.update_capture(two)) });
        ensure!(
            one.is_ok() || two.is_ok(),
            "both were refused: {one:?} {two:?}"
        );
        let shown = client.get("raced")?.spec.context("no spec")?.filter;
        send_through(&scene.pair, &numbered_frames(round * 10..round * 10 + 10))?;
        if shown == matching {
            expected += 10;
            shown_matching += 1;
        }
    }
    let capture = client.stop("raced")?;
    let matched = capture.ledger.as_ref().and_then(|ledger| ledger.matched);
    ensure!(
        matched == Some(expected),
        "{matched:?} matched, {expected} by the filters that were shown"
    );
    // The other capture has seen the packets of the rounds, too.
    let mut scene = scene;
    scene.sent_beside(300);
    Ok(format!(
        "the filter shown is the one that runs ({shown_matching} of 30 matched), {}",
        scene.end()?
    ))
}

fn concurrent_fields() -> Result<String> {
    let scene = Scene::new(&[])?;
    let client = &scene.client;
    client.start("raced", spec("eth0", ""))?;
    let mut both = 0;
    for round in 0..30 {
        let (mut targets, mut ports) = (spec("eth0", ""), spec("eth0", ""));
        targets.targets = vec![format!("10.1.1.{round}")];
        ports.ports = vec![1000 + round];
        let (one, two) = (update(targets, "targets"), update(ports, "ports"));
        let (mut first, mut second) = (client.captures.clone(), client.captures.clone());
        let (one, two) = client
            .wait(async { tokio::join!(first.update_capture(one), second.update_capture(two)) });
        let shown = client.get("raced")?.spec.context("no spec")?;
        let has_target = shown
            .targets
            .iter()
            .any(|target| target.starts_with(&format!("10.1.1.{round}")));
        let has_port = shown.ports.contains(&(1000 + round));
        ensure!(
            one.is_err() || has_target,
            "round {round}: targets were lost: {:?}",
            shown.targets
        );
        ensure!(
            two.is_err() || has_port,
            "round {round}: ports were lost: {:?}",
            shown.ports
        );
        both += u32::from(one.is_ok() && two.is_ok());
    }
    client.delete("raced")?;
    Ok(format!(
        "both fields kept in {both} of 30, {}",
        scene.end()?
    ))
}

fn concurrent_names() -> Result<String> {
    let scene = Scene::new(&[])?;
    let client = &scene.client;
    for round in 0..20 {
        let start = || {
            let request = v1::StartCaptureRequest {
                name: "raced".to_owned(),
                spec: Some(spec("eth0", "")),
                ..Default::default()
            };
            let mut captures = client.captures.clone();
            async move { captures.start_capture(request).await }
        };
        let stop = v1::StopCaptureRequest {
            name: "raced".to_owned(),
            ..Default::default()
        };
        let delete = v1::DeleteCaptureRequest {
            name: "raced".to_owned(),
            stop: true,
            ..Default::default()
        };
        let (mut second, mut third) = (client.captures.clone(), client.captures.clone());
        let (one, two, stop, delete) = client.wait(async {
            tokio::join!(
                start(),
                start(),
                second.stop_capture(stop),
                third.delete_capture(delete)
            )
        });
        for status in [one.err(), two.err(), stop.err(), delete.err()]
            .into_iter()
            .flatten()
        {
            ensure!(
                status.code() != tonic::Code::Internal,
                "round {round}: {status}"
            );
        }
        // It does not exist if the deletion came last.
        let _ = client.delete("raced");
    }
    scene.end()
}
