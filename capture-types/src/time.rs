//! UTC nanoseconds and their text forms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system clock in nanoseconds since 1970-01-01 UTC; 0 before.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// `YYYYMMDD-HHMMSS`, as in the names of capture files.
#[must_use]
pub fn stamp(nanoseconds: u64) -> String {
    let text = rfc3339(nanoseconds);
    let digits = |range| text.get(range).unwrap_or_default();
    let (year, month, day) = (digits(0..4), digits(5..7), digits(8..10));
    let (hour, minute, second) = (digits(11..13), digits(14..16), digits(17..19));
    format!("{year}{month}{day}-{hour}{minute}{second}")
}

/// RFC 3339 with nine digits of a second. 64 bits of nanoseconds end in the year 2554.
#[must_use]
pub fn rfc3339(nanoseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, stamp};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_are_what_date_says() {
        // Seconds as `date -u -d TEXT +%s` prints them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_868_799, "2000-02-29T23:59:59.000000000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(seconds * SECOND), text);
        }
        assert_eq!(
            rfc3339(1_709_251_199 * SECOND + 5),
            "2024-02-29T23:59:59.000000005Z"
        );
        assert_eq!(stamp(1_709_251_199 * SECOND), "20240229-235959");
        assert_eq!(&stamp(u64::MAX)[..4], "2554");
    }
}
