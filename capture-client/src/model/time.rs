//! Times and durations as they are shown.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time between 1970 and 9999, shown as RFC 3339 in UTC with nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(SystemTime);

impl Time {
    /// The time this long after 1970-01-01 UTC; `None` after the year 9999.
    #[must_use]
    pub fn since_epoch(duration: Duration) -> Option<Self> {
        (duration.as_secs() <= LAST_SECOND)
            .then(|| UNIX_EPOCH.checked_add(duration))
            .flatten()
            .map(Self)
    }

    /// The time of a packet's timestamp, in nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(UNIX_EPOCH + Duration::from_nanos(nanoseconds))
    }

    /// The duration since 1970-01-01 UTC.
    #[must_use]
    pub fn into_duration(self) -> Duration {
        self.0.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// To the second, for tables.
    #[must_use]
    pub fn seconds(self) -> String {
        humantime::format_rfc3339_seconds(self.0).to_string()
    }
}

impl TryFrom<SystemTime> for Time {
    type Error = &'static str;

    fn try_from(time: SystemTime) -> Result<Self, Self::Error> {
        time.duration_since(UNIX_EPOCH)
            .ok()
            .and_then(Self::since_epoch)
            .ok_or("a time before 1970 or after 9999")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_nanos(self.0).fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration: in JSON seconds with the suffix "s", as in protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, nanoseconds) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanoseconds == 0 {
            return serializer.collect_str(&format_args!("{seconds}s"));
        }
        serializer.collect_str(&format_args!("{seconds}.{nanoseconds:09}s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_be_written_are_none() {
        assert!(Time::since_epoch(Duration::from_secs(LAST_SECOND)).is_some());
        assert!(Time::since_epoch(Duration::from_secs(LAST_SECOND + 1)).is_none());
        assert!(Time::since_epoch(Duration::MAX).is_none());
        assert_eq!(
            Time::from_nanoseconds(u64::MAX).to_string(),
            "2554-07-21T23:34:33.709551615Z"
        );
    }

    #[test]
    fn spans_keep_their_nanoseconds() {
        let json = |span| serde_json::to_string(&Span(span)).unwrap();
        assert_eq!(json(Duration::from_secs(90)), "\"90s\"");
        assert_eq!(json(Duration::from_millis(1500)), "\"1.500000000s\"");
    }
}
