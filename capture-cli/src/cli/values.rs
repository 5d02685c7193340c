//! Values of options. Each message says what would be right; clap puts the option's name and the value
//! before it.

use std::{str::FromStr as _, time::Duration};

use bytesize::ByteSize;

use capture_client::model::{Codec, Time};

pub(super) fn size(text: &str) -> Result<u64, String> {
    match ByteSize::from_str(text) {
        Ok(ByteSize(0)) => Err("it must be more than 0".to_owned()),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err("give bytes, or a number with KiB, MiB, GiB, KB, MB or GB".to_owned()),
    }
}

pub(super) fn small_size(text: &str) -> Result<u32, String> {
    u32::try_from(size(text)?).map_err(|_| "it must be less than 4GiB".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be more than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("give a number with ms, s, m, h or days, as in 90s or 1h30m".to_owned()),
    }
}

pub(super) fn time(text: &str) -> Result<Time, String> {
    humantime::parse_rfc3339_weak(text)
        .ok()
        .and_then(|time| Time::try_from(time).ok())
        .ok_or_else(|| "give a UTC time, as in 2026-03-01T12:00:00Z".to_owned())
}

/// 0 is all, which the node calls by leaving it out.
pub(super) fn snaplen(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "give a number of bytes, or 0 for all".to_owned())
}

/// The codec, and its level if one is given.
pub(super) fn compression(text: &str) -> Result<(Codec, Option<u32>), String> {
    let (codec, level) = match text.split_once(':') {
        Some((codec, level)) => (codec, Some(level)),
        None => (text, None),
    };
    let level = level
        .map(|level| {
            level
                .parse()
                .map_err(|_| "the level is a number".to_owned())
        })
        .transpose()?;
    match codec {
        "none" if level.is_none() => Ok((Codec::None, None)),
        "gzip" => Ok((Codec::Gzip, level)),
        "zstd" => Ok((Codec::Zstd, level)),
        _ => Err("use none, gzip[:LEVEL] or zstd[:LEVEL]".to_owned()),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

pub(super) fn files(text: &str) -> Result<u32, String> {
    let number = at_least_one(text)?;
    u32::try_from(number).map_err(|_| format!("at most {} files can be kept", u32::MAX))
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for bad in ["", "0", "-1", "x", "10 bananas"] {
            assert!(size(bad).is_err(), "size {bad:?}");
        }
        assert!(small_size("4GiB").is_err());
        for bad in ["", "0s", "x", "60"] {
            assert!(duration(bad).is_err(), "duration {bad:?}");
        }
        for bad in ["tomorrow", "2026-13-01T00:00:00Z", "1969-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "time {bad:?}");
        }
        for bad in ["lz4", "none:1", "gzip:x", ""] {
            assert!(compression(bad).is_err(), "compression {bad:?}");
        }
        assert!(at_least_one("0").is_err());
        assert!(label("=x").is_err());
        assert!(label("x").is_err());
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(size("100MiB"), Ok(100 << 20));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(compression("zstd:3"), Ok((Codec::Zstd, Some(3))));
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        let time = time("2026-03-01T12:00:00Z").map(|time| time.seconds());
        assert_eq!(time, Ok("2026-03-01T12:00:00Z".to_owned()));
    }
}
