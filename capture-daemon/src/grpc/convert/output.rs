//! The output of a capture: format, compression, rotation and retention.

use std::time::Duration;

use capture_proto::v1;

use super::{Defaults, time::duration};
use crate::grpc::status::Violations;
use capture_types::{
    CompressWhen, Compression, DigestAlgorithm, Format, Output, OutputSpec, Retention, Rotation,
    values,
};

const LEAST_FILE: u64 = 4096;
const SECOND: Duration = Duration::from_secs(1);

/// The output, and how long finished files are kept.
pub(super) fn output(
    given: Option<&v1::Output>,
    defaults: &Defaults,
    directory: std::path::PathBuf,
    wrong: &mut Violations,
) -> (Output, Option<Duration>) {
    let (field, format, files) = match given.and_then(|output| output.kind.as_ref()) {
        None => (
            "spec.output.files",
            Format::Pcapng,
            v1::FileOutput::default(),
        ),
        Some(v1::output::Kind::Files(files)) => {
            let field = "spec.output.files";
            (field, format(field, files.format, wrong), *files)
        }
        Some(v1::output::Kind::Text(text)) => {
            let files = v1::FileOutput {
                format: v1::FileFormat::Text.into(),
                compression: text.compression,
                rotation: text.rotation,
                retention: text.retention,
                digest: v1::DigestAlgorithm::Unspecified.into(),
            };
            ("spec.output.text", Format::Text, files)
        }
        Some(v1::output::Kind::Stdout(v1::StdoutOutput {})) => return (Output::Stdout, None),
    };
    let (compression, compress_when) = compression(
        &format!("{field}.compression"),
        files.compression.as_ref(),
        defaults,
        wrong,
    );
    let rotation = rotation(
        &format!("{field}.rotation"),
        files.rotation.as_ref(),
        defaults,
        wrong,
    );
    let (retention, keep_for) = retention(
        &format!("{field}.retention"),
        files.retention.as_ref(),
        defaults,
        wrong,
    );
    let output = OutputSpec {
        directory,
        format,
        compression,
        compress_when,
        rotation,
        retention,
        digest: digest(&format!("{field}.digest"), files.digest, wrong),
    };
    (Output::Files(output), keep_for)
}

fn format(field: &str, given: i32, wrong: &mut Violations) -> Format {
    match v1::FileFormat::try_from(given) {
        Ok(v1::FileFormat::Unspecified | v1::FileFormat::Pcapng) => Format::Pcapng,
        Ok(v1::FileFormat::Pcap) => Format::Pcap,
        Ok(v1::FileFormat::Text) | Err(_) => {
            wrong.add(
                format!("{field}.format"),
                "give pcapng or pcap; use spec.output.text for text files",
            );
            Format::Pcapng
        }
    }
}

fn digest(field: &str, given: i32, wrong: &mut Violations) -> Option<DigestAlgorithm> {
    match v1::DigestAlgorithm::try_from(given) {
        Ok(v1::DigestAlgorithm::Unspecified) => Some(DigestAlgorithm::default()),
        Ok(v1::DigestAlgorithm::None) => None,
        Ok(v1::DigestAlgorithm::Xxh128) => Some(DigestAlgorithm::Xxh128),
        Ok(v1::DigestAlgorithm::Sha256) => Some(DigestAlgorithm::Sha256),
        Err(_) => {
            wrong.add(field, "give none, xxh128 or sha256");
            None
        }
    }
}

fn compression(
    field: &str,
    given: Option<&v1::Compression>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> (Compression, CompressWhen) {
    let given = given.copied().unwrap_or_default();
    let level = given
        .level
        .map_or_else(String::new, |level| format!(":{level}"));
    let parse = |codec: &str| {
        let value = format!("{codec}{level}").parse();
        value.map_err(|error: values::ValueError| error.to_string())
    };
    let compression = match v1::Codec::try_from(given.codec) {
        Ok(v1::Codec::Unspecified | v1::Codec::None) if given.level.is_some() => {
            Err("a level needs a codec: give gzip or zstd".to_owned())
        }
        Ok(v1::Codec::Unspecified) => Ok(defaults.compression),
        Ok(v1::Codec::None) => Ok(Compression::None),
        Ok(v1::Codec::Gzip) => parse("gzip"),
        Ok(v1::Codec::Zstd) => parse("zstd"),
        Err(_) => Err(format!(
            "codec {} is not known to this version",
            given.codec
        )),
    };
    let when = match v1::CompressWhen::try_from(given.when) {
        Ok(v1::CompressWhen::Unspecified | v1::CompressWhen::Streaming) => CompressWhen::Streaming,
        Ok(v1::CompressWhen::Rotated) => CompressWhen::Rotated,
        Err(_) => {
            wrong.add(format!("{field}.when"), "give streaming or rotated");
            CompressWhen::Streaming
        }
    };
    (
        wrong.take(field, compression).unwrap_or(Compression::None),
        when,
    )
}

fn rotation(
    field: &str,
    given: Option<&v1::Rotation>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> Rotation {
    let Some(given) = given else {
        return Rotation {
            size: defaults.rotation_size,
            ..Rotation::default()
        };
    };
    if given.max_file_bytes.is_some_and(|bytes| bytes < LEAST_FILE) {
        wrong.add(
            format!("{field}.max_file_bytes"),
            format!("give at least {LEAST_FILE}"),
        );
    }
    if given.max_packets == Some(0) {
        wrong.add(
            format!("{field}.max_packets"),
            "0: give at least 1, or leave it out",
        );
    }
    let interval = given
        .interval
        .as_ref()
        .and_then(|given| wrong.take(format!("{field}.interval"), duration(given, SECOND)));
    Rotation {
        size: given.max_file_bytes,
        interval,
        packets: given.max_packets,
    }
}

fn retention(
    field: &str,
    given: Option<&v1::Retention>,
    defaults: &Defaults,
    wrong: &mut Violations,
) -> (Retention, Option<Duration>) {
    let min_free = Some(defaults.min_free);
    let Some(given) = given else {
        return (
            Retention {
                max_files: defaults.max_files,
                max_bytes: None,
                min_free,
            },
            None,
        );
    };
    if given.max_files == Some(0) {
        wrong.add(
            format!("{field}.max_files"),
            "0: give at least 1, or leave it out",
        );
    }
    if given.max_bytes.is_some_and(|bytes| bytes < LEAST_FILE) {
        wrong.add(
            format!("{field}.max_bytes"),
            format!("give at least {LEAST_FILE}"),
        );
    }
    let keep_for = given
        .max_age
        .as_ref()
        .and_then(|age| wrong.take(format!("{field}.max_age"), duration(age, SECOND)));
    let retention = Retention {
        max_files: given.max_files,
        max_bytes: given.max_bytes,
        min_free,
    };
    (retention, keep_for)
}
