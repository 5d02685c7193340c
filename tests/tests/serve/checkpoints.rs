//! A daemon that is killed in the middle of a large file: the next one goes on with the capture without reading
//! the file from its start.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, CaptureState, FileState};
use capture_tests::{
    capture_file,
    daemon::{Client, Daemon, spec},
    frame, gate,
    generator::{Generator, Load},
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};
use tempfile::TempDir;
use twox_hash::XxHash3_128;

/// Packets of this length make about 90 MiB, and a checkpoint comes after 64 MiB.
const LENGTH: usize = 1400;
const BEFORE: u32 = 66_000;
/// Packets that are sent when the daemon is killed.
const WHILE: u32 = 6_000;
const AFTER: u64 = 100;

fn output(format: v1::FileFormat, codec: v1::Codec) -> v1::Output {
    let files = v1::FileOutput {
        format: format.into(),
        compression: Some(v1::Compression {
            codec: codec.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    v1::Output {
        kind: Some(v1::output::Kind::Files(files)),
    }
}

fn load(count: u32) -> Load {
    Load {
        frame: frame::numbered_for_another(0, LENGTH),
        count,
        rate: Some(25_000),
        cpu: None,
    }
}

fn written(client: &Client) -> Result<u64> {
    let ledger = client.get("large")?.ledger.context("no ledger")?;
    ledger.written.context("written is not known")
}

fn checkpoints(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().contains("checkpoint") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Kills a daemon while its large file grows; returns its directories, and how many packets were sent.
fn killed(pair: &Pair, output: v1::Output) -> Result<(TempDir, u64)> {
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let spec = v1::CaptureSpec {
        output: Some(output),
        ring_size: Some(64 << 20),
        ..spec("eth0", "")
    };
    client.start("large", spec)?;
    let mut generator = Generator::load()?;
    let before = generator.send(&pair.b, "eth0", &load(BEFORE))?.count;
    wait::until_true("every packet to be in the file", || {
        Ok(written(&client)? == before)
    })?;
    let files = daemon.files("large");
    wait::until_true("a checkpoint", || Ok(checkpoints(&files)?.len() == 1))?;
    let listed = client.list_files("large")?;
    ensure!(listed.len() == 1, "more than the growing file: {listed:?}");
    thread::scope(|scope| {
        let sending = scope.spawn(|| generator.send(&pair.b, "eth0", &load(WHILE)));
        wait::until_true("packets of the second load", || {
            Ok(written(&client)? > before || sending.is_finished())
        })?;
        let directory = daemon.kill()?;
        let sent = sending.join().ok().context("the generator panicked")??;
        Ok((directory, before + sent.count))
    })
}

/// What the next daemon says about the bytes that it read of the file, and of how many.
fn read_of(capture: &v1::Capture) -> Result<(u64, u64)> {
    let mut warnings = capture.warnings.iter();
    let told = warnings.find_map(|text| text.strip_suffix(" bytes were read"));
    let told = told.with_context(|| format!("nothing was read: {:?}", capture.warnings))?;
    let (_, numbers) = told.rsplit_once("; ").context("no numbers")?;
    let (read, all) = numbers.split_once(" of ").context("no numbers")?;
    Ok((read.parse()?, all.parse()?))
}

/// The capture goes on; its files hold what its ledger says, and that is what was sent up to the kill.
fn goes_on(pair: &Pair, directory: TempDir, sent: u64) -> Result<(u64, u64)> {
    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    let capture = client.wait_for_state("large", CaptureState::Running)?;
    ensure!(capture.resumed == 1, "resumed {} times", capture.resumed);
    let held = written(&client)?;
    ensure!(
        (u64::from(BEFORE)..=sent).contains(&held),
        "{held} of {sent} packets are written"
    );
    let listed = client.list_files("large")?;
    let recovered = listed
        .iter()
        .find(|file| file.state() == FileState::Recovered);
    let recovered = recovered.context("no recovered file")?;
    ensure!(
        recovered.packets == Some(held),
        "{recovered:?}, {held} held"
    );
    let path = daemon.files("large").join(&recovered.name);
    let contents = capture_file::read(&path)?;
    let numbers: Vec<_> = contents
        .packets
        .iter()
        .map(|one| frame::number(&one.bytes))
        .collect();
    // The generator numbers each of its loads from 0.
    let expected = (0..u64::from(BEFORE)).chain(0..held - u64::from(BEFORE));
    ensure!(
        numbers == expected.map(Some).collect::<Vec<_>>(),
        "other packets than those that were sent"
    );
    let ledger = capture.ledger.as_ref().context("no ledger")?;
    let lost = ledger.discarded.as_ref().and_then(|lost| lost.write_error);
    ensure!(
        ledger.submitted == lost.map(|lost| held + lost),
        "{ledger:?}"
    );
    let digest = wait::until("the digest of the file", || {
        let listed = client.list_files("large")?;
        let file = listed.into_iter().find(|file| file.name == recovered.name);
        Ok(file
            .map(|file| file.digest)
            .filter(|digest| !digest.is_empty()))
    })?;
    let found = peer_digest(&path)?;
    ensure!(digest == found, "{digest} is not that of the file, {found}");

    send_through(pair, &numbered_frames(0..AFTER))?;
    let ended = client.stop("large")?;
    let ledger = ended.ledger.as_ref().context("no ledger")?;
    ensure!(
        ledger.written == Some(held + AFTER),
        "{} of {AFTER} more packets are written",
        ledger.written.unwrap_or(0) - held
    );
    ensure!(checkpoints(&daemon.files("large"))?.is_empty());
    client.delete("large")?;
    ensure!(!daemon.files("large").exists(), "something is left");
    let read = read_of(&capture)?;
    daemon.end()?;
    Ok(read)
}

fn peer_digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    Ok(format!("xxh128:{:032x}", XxHash3_128::oneshot(&bytes)))
}

#[test]
fn a_capture_goes_on_after_a_kill_without_reading_its_file_from_the_start() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    for format in [v1::FileFormat::Pcapng, v1::FileFormat::Pcap] {
        for codec in [v1::Codec::None, v1::Codec::Gzip, v1::Codec::Zstd] {
            let case = || format!("{format:?} {codec:?}");
            let (directory, sent) = killed(&pair, output(format, codec)).with_context(case)?;
            let (read, all) = goes_on(&pair, directory, sent).with_context(case)?;
            ensure!(read < all / 2, "{}: {read} of {all} were read", case());
        }
    }
    Ok(())
}

#[test]
fn a_capture_goes_on_after_a_kill_with_a_spoiled_checkpoint() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let output = output(v1::FileFormat::Pcapng, v1::Codec::None);
    let (directory, sent) = killed(&pair, output)?;
    let found = checkpoints(&directory.path().join("data/large"))?;
    let path = found.first().context("no checkpoint")?;
    let mut content = fs::read(path)?;
    content[40] ^= 1;
    fs::write(path, content)?;
    let (read, all) = goes_on(&pair, directory, sent)?;
    ensure!(read == all, "{read} of {all} were read");
    Ok(())
}
