//! Parsers of sizes, durations, codecs and patterns on a command line, in a configuration file or in a
//! request. Each error says what is valid; the caller adds the option, key or field and the value.

use std::{net::IpAddr, str::FromStr, time::Duration};

use bytesize::ByteSize;
use ipnet::IpNet;

use crate::{Compression, InterfacePattern, MinFree};

/// A value is invalid; the text says what is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    /// An error that says what is valid.
    pub(crate) fn new(what_would_be_right: impl Into<String>) -> Self {
        Self(what_would_be_right.into())
    }
}

fn wrong<T>(what_would_be_right: impl Into<String>) -> Result<T, ValueError> {
    Err(ValueError(what_would_be_right.into()))
}

/// Bytes, at least 1, with a unit: `1500B`, `100MiB`, `1GB`. A bare number is rejected, because `100` is
/// megabytes to one program and bytes to another.
///
/// # Errors
/// The valid units, or the limit.
pub fn size(text: &str) -> Result<u64, ValueError> {
    match text.trim().parse::<u64>() {
        Ok(0) => return wrong("it must be more than 0"),
        Ok(number) => {
            return wrong(format!(
                "the unit is missing: {number}B is bytes, {number}MiB are {number} times 1,048,576 bytes; \
                 {SIZE_UNITS}"
            ));
        }
        Err(_) => {}
    }
    match ByteSize::from_str(text) {
        Ok(ByteSize(0)) => wrong("it must be more than 0"),
        // No file system supports more.
        Ok(ByteSize(bytes)) if bytes > i64::MAX.unsigned_abs() => {
            wrong("it must be less than 8EiB")
        }
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => wrong(format!(
            "give a number with its unit, as in 100MiB; {SIZE_UNITS}"
        )),
    }
}

const SIZE_UNITS: &str = "units are B, KiB, MiB, GiB, KB, MB and GB";

/// A time of more than 0, with its unit: `90s`, `1h30m`.
///
/// The valid units.
/// Says which units there are.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => wrong("it must be more than 0"),
        Ok(duration) => Ok(duration),
        Err(_) if text.trim().parse::<f64>().is_ok() => wrong(format!(
            "the unit is missing: {0}s is seconds, {0}m is minutes; units are ms, s, m, h and days",
            text.trim()
        )),
        Err(_) => wrong("give a number with ms, s, m, h or days, as in 90s or 1h30m"),
    }
}

/// A rotation interval: at least a second. Files begin on multiples of it, counted from 1970-01-01 UTC.
///
/// # Errors
/// The valid units, or the limit.
pub fn interval(text: &str) -> Result<Duration, ValueError> {
    let interval = duration(text)?;
    if interval < Duration::from_secs(1) {
        return wrong("it must be at least 1s");
    }
    Ok(interval)
}

/// The smallest ring buffer that has room for the largest packet.
const SMALLEST_RING: u64 = 128 << 10;
/// The kernel counts a ring buffer's bytes in 32 bits, and the size is a power of two.
const LARGEST_RING: u64 = 1 << 31;

/// Bytes of a ring buffer with their unit, rounded up to a power of two.
///
/// # Errors
/// The valid sizes.
pub fn ring_size(text: &str) -> Result<u32, ValueError> {
    ring_bytes(size(text)?)
}

/// Bytes of a ring buffer, rounded up to a power of two.
///
/// # Errors
/// The valid sizes.
pub fn ring_bytes(asked: u64) -> Result<u32, ValueError> {
    if !(SMALLEST_RING..=LARGEST_RING).contains(&asked) {
        return wrong("it must be between 128KiB and 2GiB");
    }
    u32::try_from(asked.next_power_of_two()).or_else(|error| wrong(error.to_string()))
}

/// libpcap's snaplen for whole packets (`MAXIMUM_SNAPLEN`).
pub const WHOLE_PACKETS: u32 = 262_144;

/// A snaplen in bytes; 0 is [`WHOLE_PACKETS`].
///
/// # Errors
/// The valid numbers.
pub fn snaplen(text: &str) -> Result<u32, ValueError> {
    match text.parse() {
        Ok(0) => Ok(WHOLE_PACKETS),
        Ok(bytes) if bytes <= WHOLE_PACKETS => Ok(bytes),
        _ => wrong(format!(
            "give a number of bytes from 1 to {WHOLE_PACKETS}, or 0 for all"
        )),
    }
}

impl FromStr for Compression {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (codec, level) = match text.split_once(':') {
            Some((codec, level)) => (codec, Some(level)),
            None => (text, None),
        };
        let level = |default: i32, least: i32, most: i32| match level.map(str::parse::<i32>) {
            None => Ok(default),
            Some(Ok(level)) if (least..=most).contains(&level) => Ok(level),
            Some(_) => wrong(format!(
                "the level of {codec} is a number from {least} to {most}"
            )),
        };
        match codec {
            "none" if text == "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip(level(1, 0, 9)?.unsigned_abs())),
            "zstd" => Ok(Self::Zstd(level(1, 1, 19)?)),
            _ => wrong("use none, gzip[:LEVEL] or zstd[:LEVEL]"),
        }
    }
}

impl FromStr for MinFree {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => wrong("give a percentage from 0% to below 100%"),
            };
        }
        match text.trim() {
            "0" => Ok(Self::Bytes(0)),
            text => match size(text) {
                Ok(bytes) => Ok(Self::Bytes(bytes)),
                Err(_) => wrong("give a percentage like 5%, a size like 2GiB, or 0"),
            },
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "" => wrong("it is empty: give a name, a glob or any"),
            "any" => Ok(Self::Any),
            _ if text.contains(['*', '?', '[', '{']) => Ok(Self::Glob(text.to_owned())),
            _ => Ok(Self::Name(text.to_owned())),
        }
    }
}

/// An address, or a network in CIDR notation.
///
/// # Errors
/// The form of an address or a network.
pub fn network(text: &str) -> Result<IpNet, ValueError> {
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse())
        .or_else(|_| wrong("give an IPv4 or IPv6 address, or a network like 10.0.0.0/8"))
}

/// A number that is not 0.
///
/// # Errors
/// The valid numbers.
pub fn at_least_one(text: &str) -> Result<u64, ValueError> {
    match text.parse() {
        Ok(0) | Err(_) => wrong("give a number of at least 1"),
        Ok(number) => Ok(number),
    }
}

/// A number of files that is not 0.
///
/// # Errors
/// The valid numbers.
pub fn files(text: &str) -> Result<u32, ValueError> {
    let number = at_least_one(text)?;
    u32::try_from(number).or_else(|_| wrong(format!("at most {} files can be kept", u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for bad in ["", "0", "100", "-1", "x", "10 bananas", "99999999999999GiB"] {
            assert!(size(bad).is_err(), "size {bad:?}");
        }
        for bad in ["", "0s", "-1s", "x", "60", "1y1"] {
            assert!(duration(bad).is_err(), "duration {bad:?}");
        }
        assert!(interval("10ms").is_err());
        for bad in ["1", "4KiB", "3GiB"] {
            assert!(ring_size(bad).is_err(), "ring {bad:?}");
        }
        for bad in ["-1", "262145", "1MiB"] {
            assert!(snaplen(bad).is_err(), "snaplen {bad:?}");
        }
        for bad in ["lz4", "gzip:10", "zstd:0", "zstd:x", "none:1", ""] {
            assert!(bad.parse::<Compression>().is_err(), "compression {bad:?}");
        }
        for bad in ["100%", "-1%", "x%", "x", "5"] {
            assert!(bad.parse::<MinFree>().is_err(), "min-free {bad:?}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "example.org"] {
            assert!(network(bad).is_err(), "host {bad:?}");
        }
        assert!(at_least_one("0").is_err());
        assert!("".parse::<InterfacePattern>().is_err());
    }

    #[test]
    fn a_missing_unit_is_named_with_the_units() {
        let size = size("100").expect_err("no unit").to_string();
        assert!(size.contains("100MiB") && size.contains("GB"), "{size}");
        let duration = duration("60").expect_err("no unit").to_string();
        assert!(
            duration.contains("60s") && duration.contains("days"),
            "{duration}"
        );
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(size("100MiB"), Ok(100 << 20));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("1500B"), Ok(1500));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(ring_size("64MiB"), Ok(64 << 20));
        assert_eq!(
            ring_size("65MiB"),
            Ok(128 << 20),
            "rounded up to a power of two"
        );
        assert_eq!(snaplen("0"), Ok(WHOLE_PACKETS));
        assert_eq!("gzip".parse(), Ok(Compression::Gzip(1)));
        assert_eq!("zstd:19".parse(), Ok(Compression::Zstd(19)));
        assert_eq!("2.5%".parse(), Ok(MinFree::Percent(2.5)));
        assert_eq!("0".parse(), Ok(MinFree::Bytes(0)));
        assert_eq!("any".parse(), Ok(InterfacePattern::Any));
        assert_eq!(
            "veth*".parse(),
            Ok(InterfacePattern::Glob("veth*".to_owned()))
        );
    }
}
