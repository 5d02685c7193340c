//! Values of options: sizes, durations, codecs, patterns. Each message says what would be right;
//! clap puts the option's name and the value before it.

use std::{net::IpAddr, str::FromStr as _, time::Duration};

use bytesize::ByteSize;
use ipnet::IpNet;

use crate::spec::{Compression, InterfacePattern, MinFree};

pub(crate) fn size(text: &str) -> Result<u64, String> {
    match ByteSize::from_str(text) {
        Ok(ByteSize(0)) => Err("it must be more than 0".to_owned()),
        // No file system counts further.
        Ok(ByteSize(bytes)) if bytes > i64::MAX.unsigned_abs() => {
            Err("it must be less than 8EiB".to_owned())
        }
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err("give bytes, or a number with KiB, MiB, GiB, KB, MB or GB".to_owned()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be more than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("give a number with ms, s, m, h or days, as in 90s or 1h30m".to_owned()),
    }
}

/// Intervals of rotation lie on multiples of them, counted from 1970; below a second that would be
/// a file per few packets.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_secs(1) {
        return Err("it must be at least 1s".to_owned());
    }
    Ok(interval)
}

/// The smallest ring that takes the largest packet.
const SMALLEST_RING: u64 = 128 << 10;
/// The kernel counts a ring's bytes in 32 bits, and the size is a power of two.
const LARGEST_RING: u64 = 1 << 31;

pub(crate) fn ring_size(text: &str) -> Result<u32, String> {
    let asked = size(text)?;
    if !(SMALLEST_RING..=LARGEST_RING).contains(&asked) {
        return Err("it must be between 128KiB and 2GiB".to_owned());
    }
    u32::try_from(asked.next_power_of_two()).map_err(|error| error.to_string())
}

pub(crate) fn snaplen(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Ok(WHOLE_PACKETS),
        Ok(bytes) if bytes <= WHOLE_PACKETS => Ok(bytes),
        _ => Err(format!(
            "give a number of bytes from 1 to {WHOLE_PACKETS}, or 0 for all"
        )),
    }
}

/// libpcap's snaplen for whole packets (`MAXIMUM_SNAPLEN`).
pub(crate) const WHOLE_PACKETS: u32 = 262_144;

pub(crate) fn compression(text: &str) -> Result<Compression, String> {
    let (codec, level) = match text.split_once(':') {
        Some((codec, level)) => (codec, Some(level)),
        None => (text, None),
    };
    let level = |default: i32, least: i32, most: i32| match level.map(str::parse::<i32>) {
        None => Ok(default),
        Some(Ok(level)) if (least..=most).contains(&level) => Ok(level),
        Some(_) => Err(format!(
            "the level of {codec} is a number from {least} to {most}"
        )),
    };
    match codec {
        "none" if text == "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip(level(1, 0, 9)?.unsigned_abs())),
        "zstd" => Ok(Compression::Zstd(level(1, 1, 19)?)),
        _ => Err("use none, gzip[:LEVEL] or zstd[:LEVEL]".to_owned()),
    }
}

pub(crate) fn min_free(text: &str) -> Result<MinFree, String> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.trim().parse::<f64>() {
            Ok(percent) if (0.0..100.0).contains(&percent) => Ok(MinFree::Percent(percent)),
            _ => Err("give a percentage from 0% to below 100%".to_owned()),
        };
    }
    match ByteSize::from_str(text) {
        Ok(ByteSize(bytes)) => Ok(MinFree::Bytes(bytes)),
        Err(_) => Err("give a percentage like 5%, or a size like 2GiB".to_owned()),
    }
}

pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse())
        .map_err(|_| "give an IPv4 or IPv6 address, or a network like 10.0.0.0/8".to_owned())
}

pub(crate) fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

pub(crate) fn files(text: &str) -> Result<u32, String> {
    let number = at_least_one(text)?;
    u32::try_from(number).map_err(|_| format!("at most {} files can be kept", u32::MAX))
}

pub(crate) fn interface(text: &str) -> Result<InterfacePattern, String> {
    match text {
        "" => Err("it is empty: give a name, a glob or any".to_owned()),
        "any" => Ok(InterfacePattern::Any),
        _ if text.contains(['*', '?', '[', '{']) => Ok(InterfacePattern::Glob(text.to_owned())),
        _ => Ok(InterfacePattern::Name(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for bad in ["", "0", "-1", "x", "10 bananas", "99999999999999GiB"] {
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
            assert!(compression(bad).is_err(), "compression {bad:?}");
        }
        for bad in ["100%", "-1%", "x%", "x"] {
            assert!(min_free(bad).is_err(), "min-free {bad:?}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "example.org"] {
            assert!(network(bad).is_err(), "host {bad:?}");
        }
        assert!(at_least_one("0").is_err());
        assert!(interface("").is_err());
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(size("100MiB"), Ok(100 << 20));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(ring_size("64MiB"), Ok(64 << 20));
        assert_eq!(
            ring_size("65MiB"),
            Ok(128 << 20),
            "rounded up to a power of two"
        );
        assert_eq!(snaplen("0"), Ok(WHOLE_PACKETS));
        assert_eq!(compression("gzip"), Ok(Compression::Gzip(1)));
        assert_eq!(compression("zstd:19"), Ok(Compression::Zstd(19)));
        assert_eq!(min_free("2.5%"), Ok(MinFree::Percent(2.5)));
        assert_eq!(min_free("0"), Ok(MinFree::Bytes(0)));
        assert_eq!(interface("any"), Ok(InterfacePattern::Any));
        assert_eq!(
            interface("veth*"),
            Ok(InterfacePattern::Glob("veth*".to_owned()))
        );
    }
}
