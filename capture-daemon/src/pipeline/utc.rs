//! UTC nanoseconds as text.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// The system's clock, nanoseconds since 1970-01-01 UTC; 0 before.
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
    let (year, month, day, hour, minute, second) = split(nanoseconds);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// RFC 3339 with nine digits of a second.
#[must_use]
pub fn rfc3339(nanoseconds: u64) -> String {
    let (year, month, day, hour, minute, second) = split(nanoseconds);
    let fraction = nanoseconds % SECOND;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

/// Year, month, day, hour, minute, second. 64 bits of nanoseconds end in the year 2554.
fn split(nanoseconds: u64) -> (u64, u64, u64, u64, u64, u64) {
    let seconds = nanoseconds / SECOND;
    let (mut days, rest) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    (
        year,
        month,
        days + 1,
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
    )
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{SECOND, rfc3339, stamp};

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
