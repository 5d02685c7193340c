//! Times and durations.

use std::time::Duration;

use prost_types::Timestamp;

const SECOND: u64 = 1_000_000_000;

/// UTC nanoseconds as an API timestamp.
pub(in super::super) fn timestamp(nanoseconds: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(nanoseconds / SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanoseconds % SECOND).unwrap_or(0),
    }
}

/// A time as UTC nanoseconds.
pub(super) fn nanoseconds(timestamp: &Timestamp) -> Result<u64, &'static str> {
    let seconds = u64::try_from(timestamp.seconds).map_err(|_| "it is before 1970")?;
    let nanos = u64::try_from(timestamp.nanos)
        .ok()
        .filter(|nanos| *nanos < SECOND)
        .ok_or("its nanos are not between 0 and 999999999")?;
    seconds
        .checked_mul(SECOND)
        .and_then(|seconds| seconds.checked_add(nanos))
        .ok_or("it is after the year 2500")
}

/// Converts a duration, which must be at least `least`.
pub(in super::super) fn duration(
    duration: &prost_types::Duration,
    least: Duration,
) -> Result<Duration, String> {
    let nanos = i64::from(duration.nanos);
    if nanos.unsigned_abs() >= SECOND || nanos.signum() * duration.seconds.signum() < 0 {
        return Err(
            "its nanos are not within a second, or have another sign than its seconds".to_owned(),
        );
    }
    let too_short = || format!("it must be at least {}", humantime::format_duration(least));
    let given = Duration::try_from(*duration).map_err(|_| too_short())?;
    if given < least {
        return Err(too_short());
    }
    Ok(given)
}

/// A duration as an API duration.
pub(super) fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
