use std::time::Duration;

use prost_types::{Duration as ProtoDuration, Timestamp};

use crate::model::{Span, Time};

/// `None` also for times before 1970 or after 9999, in which nothing was captured.
pub(super) fn time(timestamp: Option<Timestamp>) -> Option<Time> {
    let timestamp = timestamp?;
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanoseconds = u32::try_from(timestamp.nanos).ok()?;
    Time::since_epoch(Duration::from_secs(seconds).checked_add(nanos(nanoseconds))?)
}

pub(crate) fn span(duration: Option<ProtoDuration>) -> Option<Span> {
    let duration = duration?;
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanoseconds = u32::try_from(duration.nanos).ok()?;
    Duration::from_secs(seconds)
        .checked_add(nanos(nanoseconds))
        .map(Span)
}

pub(super) fn timestamp(time: Time) -> Timestamp {
    let duration = time.into_duration();
    Timestamp {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

pub(crate) fn duration(span: Span) -> ProtoDuration {
    ProtoDuration {
        seconds: i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX),
        nanos: span.0.subsec_nanos().cast_signed(),
    }
}

fn nanos(nanoseconds: u32) -> Duration {
    Duration::from_nanos(u64::from(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back_and_nonsense_is_not_known() {
        let there = Timestamp {
            seconds: 1_700_000_000,
            nanos: 999_999_999,
        };
        assert_eq!(time(Some(there)).map(timestamp), Some(there));
        for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MAX, 0)] {
            assert_eq!(time(Some(Timestamp { seconds, nanos })), None);
        }
        assert_eq!(time(None), None);
        let negative = ProtoDuration {
            seconds: -5,
            nanos: 0,
        };
        assert_eq!(span(Some(negative)), None);
    }
}
