//! Values of options. Each message says what would be right; clap puts the option's name and the value
//! before it.

use capture_client::model::Time;
use capture_types::values;

pub(super) fn small_size(text: &str) -> Result<u32, String> {
    u32::try_from(values::size(text).map_err(|error| error.to_string())?)
        .map_err(|_| "it must be less than 4GiB".to_owned())
}

pub(super) fn time(text: &str) -> Result<Time, String> {
    humantime::parse_rfc3339_weak(text)
        .ok()
        .and_then(|time| Time::try_from(time).ok())
        .ok_or_else(|| "give a UTC time, as in 2026-03-01T12:00:00Z".to_owned())
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
        assert!(small_size("4GiB").is_err());
        for bad in ["tomorrow", "2026-13-01T00:00:00Z", "1969-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "time {bad:?}");
        }
        assert!(label("=x").is_err());
        assert!(label("x").is_err());
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        let time = time("2026-03-01T12:00:00Z").map(|time| time.seconds());
        assert_eq!(time, Ok("2026-03-01T12:00:00Z".to_owned()));
    }
}
