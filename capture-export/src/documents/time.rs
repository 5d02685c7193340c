//! Times as text, quickly: packets of the same second share all but the nanoseconds.

use capture_types::time::rfc3339;

const SECOND: u64 = 1_000_000_000;

/// Remembers the text of a second.
#[derive(Default)]
pub(super) struct Clock {
    /// The second and its text: `2026-01-01T00:00:00.`.
    latest: Option<(u64, [u8; 20])>,
}

impl Clock {
    /// RFC 3339 with nanoseconds, which `date_nanos` takes. The time is in nanoseconds since 1970-01-01 UTC.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: u64) {
        let (second, mut rest) = (time / SECOND, time % SECOND);
        let text = match self.latest {
            Some((latest, text)) if latest == second => text,
            _ => {
                let text = rfc3339(second * SECOND);
                let mut start = [b' '; 20];
                for (to, from) in start.iter_mut().zip(text.bytes()) {
                    *to = from;
                }
                self.latest = Some((second, start));
                start
            }
        };
        out.extend_from_slice(&text);
        let mut digits = [b'0'; 9];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&digits);
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use capture_types::time::rfc3339;

    use super::Clock;

    #[test]
    fn a_time_is_what_everybody_else_writes_whatever_came_before() {
        let mut clock = Clock::default();
        for time in [
            0,
            1,
            999_999_999,
            1_000_000_000,
            1_700_000_000_123_456_789,
            1_700_000_000_000_000_000,
            1_709_251_199_000_000_005,
            1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            clock.write(&mut out, time);
            assert_eq!(String::from_utf8_lossy(&out), rfc3339(time));
        }
    }
}
