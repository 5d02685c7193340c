//! Packets as lines: in files, and in the daemon's own output.

use std::{
    io::{Read as _, pipe},
    path::Path,
};

use anyhow::{Context as _, Result};
use capture_proto::v1::{self, CaptureState, Codec, FileFormat};
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    frame, gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};

fn text(codec: Codec, packets: u64) -> v1::CaptureSpec {
    let text = v1::TextOutput {
        compression: Some(v1::Compression {
            codec: codec.into(),
            ..Default::default()
        }),
        rotation: Some(v1::Rotation {
            max_packets: Some(packets),
            ..Default::default()
        }),
        ..Default::default()
    };
    to(v1::output::Kind::Text(text))
}

fn stdout() -> v1::CaptureSpec {
    to(v1::output::Kind::Stdout(v1::StdoutOutput {}))
}

fn to(kind: v1::output::Kind) -> v1::CaptureSpec {
    v1::CaptureSpec {
        output: Some(v1::Output { kind: Some(kind) }),
        ..spec("eth0", "")
    }
}

fn read(path: &Path, codec: Codec) -> Result<String> {
    let bytes = std::fs::read(path)?;
    let mut text = String::new();
    match codec {
        Codec::Gzip => {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
        }
        Codec::Zstd => text = String::from_utf8(zstd::decode_all(&bytes[..])?)?,
        Codec::None | Codec::Unspecified => text = String::from_utf8(bytes)?,
    }
    Ok(text)
}

/// The expected line of a frame, after its time.
fn said(frame: &[u8]) -> String {
    format!(
        "eth0 In  IP 10.0.0.1.4000 > 10.0.0.99.{}: UDP, length {}",
        frame::PORT,
        frame.len() - 42
    )
}

#[test]
fn files_of_lines_have_one_for_each_packet_and_are_kept_as_capture_files_are() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let codecs = [Codec::None, Codec::Gzip, Codec::Zstd];
    for codec in codecs {
        let started = client.start(codec.as_str_name(), text(codec, 100))?;
        let output = started.spec.and_then(|spec| spec.output?.kind);
        assert!(matches!(output, Some(v1::output::Kind::Text(_))));
    }
    client.start("empty", text(Codec::Gzip, 100))?;
    client.stop("empty")?;
    let frames = numbered_frames(0..250);
    send_through(&pair, &frames)?;
    for codec in codecs {
        let name = codec.as_str_name();
        wrote_all(&client.stop(name)?, 250)?;
        let files = client.list_files(name)?;
        let packets: Vec<_> = files.iter().filter_map(|file| file.packets).collect();
        assert_eq!(packets, [100, 100, 50]);
        let mut lines = Vec::new();
        for file in files {
            assert_eq!((file.format(), file.codec()), (FileFormat::Text, codec));
            assert_eq!(file.digest.len(), "xxh128:".len() + 32, "{}", file.digest);
            let text = read(&daemon.files(name).join(&file.name), codec)?;
            assert_eq!(text.lines().count() as u64, file.packets.unwrap_or(0));
            lines.extend(text.lines().map(str::to_owned));
        }
        for (line, frame) in lines.iter().zip(&frames) {
            let (time, rest) = line.split_once(' ').context("an empty line")?;
            assert!(time.ends_with('Z') && time.len() == 30, "{time}");
            assert_eq!(rest, said(frame));
        }
    }
    let empty = client.list_files("empty")?.remove(0);
    assert_eq!(
        read(&daemon.files("empty").join(empty.name), Codec::Gzip)?,
        ""
    );
    Ok(())
}

#[test]
fn the_daemons_own_output_has_a_line_for_each_packet_and_there_are_no_files() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("one", stdout())?;
    client.start("two", stdout())?;
    let frames = numbered_frames(0..700);
    send_through(&pair, &frames)?;
    for name in ["one", "two"] {
        let ended = client.stop(name)?;
        wrote_all(&ended, 700)?;
        assert!(ended.bytes_written > 700 * 50);
        assert!(client.list_files(name)?.is_empty());
        assert!(!daemon.files(name).exists());
        client.delete(name)?;
    }
    let (ended, _directory) = daemon.end()?;
    for name in ["one", "two"] {
        let mark = format!(" {name} ");
        let lines = ended.stdout.lines().filter(|line| line.contains(&mark));
        let mut count = 0;
        for (line, frame) in lines.zip(&frames) {
            let rest = line.strip_prefix("PACKET: ").context("another line")?;
            let (_time, rest) = rest.split_once(' ').context("an empty line")?;
            assert_eq!(rest, format!("{name} {}", said(frame)));
            count += 1;
        }
        assert_eq!(count, frames.len());
    }
    assert_eq!(ended.stdout.lines().count(), 1400);
    Ok(())
}

#[test]
fn an_output_that_nobody_reads_disturbs_no_capture_and_what_it_does_not_take_is_counted()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const FRAMES: u64 = 4000;
    let pair = Pair::new()?;
    let (mut reader, writer) = pipe()?;
    let daemon = Daemon::start_into(&pair.b, writer.into(), &[])?;
    let client = daemon.client()?;
    client.start("lines", stdout())?;
    let roomy = v1::CaptureSpec {
        ring_size: Some(8 << 20),
        ..spec("eth0", "")
    };
    client.start("files", roomy)?;
    let frames = numbered_frames(0..FRAMES);
    send_through(&pair, &frames[..2000])?;
    // From here on its blocks are known not to be accepted.
    let discarded = |capture: &v1::Capture| {
        let ledger = capture.ledger.as_ref()?;
        ledger.discarded.as_ref()?.queue_full
    };
    wait::until("the daemon to give up its output", || {
        Ok(discarded(&client.get("lines")?).filter(|count| *count > 0))
    })?;
    send_through(&pair, &frames[2000..])?;
    let ended = client.stop("lines")?;
    assert_eq!(ended.state(), CaptureState::Completed, "{}", ended.message);
    wrote_all(&client.stop("files")?, FRAMES)?;
    let ledger = ended.ledger.as_ref().context("no ledger")?;
    let written = ledger.written.context("not known")?;
    assert_eq!(ledger.matched, Some(FRAMES));
    // Whether a packet finds its ring full or no free block depends on the load of the machine.
    let ring_full = ledger.ring_full.context("not known")?;
    assert_eq!(Some(FRAMES - written - ring_full), discarded(&ended));

    // The bytes counted as written come out, line by line; and then there is room again.
    let mut text = vec![0; usize::try_from(ended.bytes_written)?];
    reader.read_exact(&mut text)?;
    let text = String::from_utf8(text)?;
    assert_eq!(text.lines().count() as u64, written);
    assert!(text.ends_with('\n'));
    client.start("later", stdout())?;
    send_through(&pair, &numbered_frames(0..10))?;
    wrote_all(&client.stop("later")?, 10)?;
    let ended = daemon.end()?.0;
    assert!(ended.status.success(), "{}", ended.stderr);
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    assert_eq!(rest.lines().count(), 10);
    Ok(())
}
