//! Recovery after a daemon that was killed, and one that was shut down.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, CaptureState, FileState};
use capture_tests::{
    attached, capture_file,
    daemon::{Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};

fn plain(spec: v1::CaptureSpec, codec: v1::Codec) -> v1::CaptureSpec {
    let files = v1::FileOutput {
        compression: Some(v1::Compression {
            codec: codec.into(),
            ..Default::default()
        }),
        rotation: Some(v1::Rotation {
            max_packets: Some(100),
            ..Default::default()
        }),
        ..Default::default()
    };
    let output = v1::Output {
        kind: Some(v1::output::Kind::Files(files)),
    };
    v1::CaptureSpec {
        output: Some(output),
        ..spec
    }
}

/// Fails unless the ledger counts this many packets as written, and adds up.
fn wrote_all_of(capture: &v1::Capture, written: u64) -> Result<()> {
    let ledger = capture.ledger.as_ref().context("no ledger")?;
    let lost = ledger.discarded.as_ref().and_then(|lost| lost.write_error);
    ensure!(ledger.written == Some(written), "{written} in {ledger:?}");
    ensure!(
        ledger.submitted == lost.map(|lost| written + lost),
        "{ledger:?}"
    );
    ensure!(ledger.matched == ledger.submitted, "{ledger:?}");
    Ok(())
}

/// Kills the daemon at different moments of a capture under load, and checks what it left.
#[test]
fn a_killed_daemon_leaves_whole_files_and_the_next_one_goes_on() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const KILLS: u64 = 50;
    let pair = Pair::new()?;
    let mut directory = tempfile::TempDir::new()?;
    for kill in 0..KILLS {
        let daemon = Daemon::start_in(&pair.b, directory, &[])?;
        let client = daemon.client()?;
        let codec = [v1::Codec::None, v1::Codec::Gzip, v1::Codec::Zstd][usize::try_from(kill % 3)?];
        let name = format!("k{kill}");
        client.start(&name, plain(spec("eth0", ""), codec))?;
        send_through(&pair, &numbered_frames(0..150 + kill * 7))?;
        // Some die with the last packets on their way, some with everything on disk.
        std::thread::sleep(std::time::Duration::from_millis(kill * 37 % 1500));
        directory = daemon.kill()?;
        assert!(
            attached::tcx_programs(&pair.b, "eth0")?.is_empty(),
            "nothing is left attached"
        );

        let daemon = Daemon::start_in(&pair.b, directory, &[])?;
        let client = daemon.client()?;
        // It has no limit, so it is resumed.
        let capture = client.wait_for_state(&name, CaptureState::Running)?;
        assert_eq!(capture.resumed, 1);
        let files = client.list_files(&name)?;
        let mut held = 0;
        for file in &files {
            if file.state() == FileState::Growing {
                continue;
            }
            let contents = capture_file::read(&daemon.files(&name).join(&file.name))
                .with_context(|| format!("kill {kill}: {}", file.name))?;
            let packets = contents.packets.len() as u64;
            assert_eq!(Some(packets), file.packets, "{}", file.name);
            held += packets;
        }
        let died = capture.warnings.iter().any(|one| one.contains("died"));
        assert!(died, "{:?}", capture.warnings);
        // The new session adds nothing: no packets are sent.
        wrote_all_of(&capture, held).with_context(|| format!("kill {kill}"))?;
        client.delete(&name)?;
        directory = daemon.end()?.1;
    }
    Ok(())
}

#[test]
fn a_daemon_that_is_told_to_end_drains_and_the_next_one_goes_on_with_the_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("long", spec("eth0", ""))?;
    client.start("done", spec("eth0", ""))?;
    client.stop("done")?;
    send_through(&pair, &numbered_frames(0..200))?;
    let (ended, directory) = daemon.end()?;
    assert!(ended.status.success(), "{}", ended.stderr);

    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    client.wait_for_state("long", CaptureState::Running)?;
    assert_eq!(client.get("done")?.state(), CaptureState::Completed);
    send_through(&pair, &numbered_frames(200..300))?;
    let ended = client.stop("long")?;
    assert_eq!(ended.resumed, 1);
    wrote_all(&ended, 300)
}
