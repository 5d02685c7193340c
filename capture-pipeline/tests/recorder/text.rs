//! Text files: they rotate, are compressed and add up like capture files.

use std::{fs, io::Read as _, path::Path, time::Duration};

use capture_types::{CompressWhen, Compression, Format, Rotation};

use super::support::{assert_ledger, finish, packets_of_two_link_types, send, spec, start};

fn lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).expect("read");
    let mut text = String::new();
    match path.extension().and_then(|end| end.to_str()) {
        Some("gz") => {
            let mut members = flate2::read::MultiGzDecoder::new(&bytes[..]);
            members.read_to_string(&mut text).expect("gzip");
        }
        Some("zst") => {
            text = String::from_utf8(zstd::decode_all(&bytes[..]).expect("zstd")).expect("text");
        }
        _ => text = String::from_utf8(bytes).expect("text"),
    }
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lines_are_one_for_each_packet_in_order_whatever_the_rotation_and_the_compression() {
    const SIZE: u64 = 32 << 10;
    let sent = packets_of_two_link_types(4_000);
    for rotation in [
        Rotation::default(),
        Rotation {
            size: Some(SIZE),
            ..Rotation::default()
        },
        Rotation {
            packets: Some(333),
            interval: Some(Duration::from_secs(1)),
            ..Rotation::default()
        },
    ] {
        for (compression, when) in [
            (Compression::None, CompressWhen::Streaming),
            (Compression::Gzip(1), CompressWhen::Streaming),
            (Compression::Zstd(1), CompressWhen::Streaming),
            (Compression::Zstd(1), CompressWhen::Rotated),
        ] {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut spec = spec(directory.path());
            spec.output.format = Format::Text;
            spec.output.compression = compression;
            spec.output.compress_when = when;
            spec.output.rotation = rotation;
            let mut recorder = start(&spec);
            for chunk in sent.chunks(500) {
                send(&mut recorder, chunk);
                recorder.tick(chunk[chunk.len() - 1].timestamp);
            }
            let finished = finish(recorder);
            assert_eq!(finished.failure, None);
            assert_ledger(&finished, &sent);
            let mut all = Vec::new();
            for file in &finished.files {
                let lines = lines(&file.path);
                assert_eq!(file.entry.packets, Some(lines.len() as u64));
                assert!(
                    rotation
                        .packets
                        .is_none_or(|most| lines.len() as u64 <= most)
                );
                if compression == Compression::None {
                    assert!(rotation.size.is_none_or(|most| file.entry.bytes <= most));
                }
                all.extend(lines);
            }
            if rotation != Rotation::default() && compression == Compression::None {
                assert!(finished.files.len() > 5, "{}", finished.files.len());
            }
            assert_eq!(all.len(), sent.len());
            for (line, packet) in all.iter().zip(&sent) {
                let time = std::time::UNIX_EPOCH + Duration::from_nanos(packet.timestamp);
                let direction = if packet.out { "Out" } else { "In " };
                let begin = format!(
                    "{} eth{} {direction} ",
                    humantime::format_rfc3339_nanos(time),
                    packet.interface
                );
                assert!(line.starts_with(&begin), "{line} after {begin}");
            }
        }
    }
}
