//! Numbers for people.

/// 1,234,567.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn scaled(value: f64, steps: &[&str], base: f64) -> String {
    let mut value = value;
    let mut step = 0;
    while value >= base && step + 1 < steps.len() {
        value /= base;
        step += 1;
    }
    let unit = steps.get(step).copied().unwrap_or_default();
    if step == 0 && value.fract() == 0.0 {
        format!("{value:.0} {unit}")
    } else if value < 10.0 {
        format!("{value:.2} {unit}")
    } else if value < 100.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// 1.23 MB.
pub(super) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB"], 1000.0)
}

/// 1.23 Mbit/s.
pub(super) fn bit_rate(bits: f64) -> String {
    scaled(
        bits,
        &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
        1000.0,
    )
}

/// 1.23 k packets/s.
pub(super) fn rate(per_second: f64, what: &str) -> String {
    let text = scaled(per_second, &["", "k", "M", "G"], 1000.0);
    format!("{} {what}", text.trim_end())
}

/// A time of RFC 3339 to the millisecond, with room to break: 2026-01-01 10:00:00.123 UTC.
pub(super) fn moment(time: &str) -> String {
    let Some((date, time)) = time.split_once('T') else {
        return time.to_owned();
    };
    let time = time.trim_end_matches('Z');
    let end = time
        .find('.')
        .map_or(time.len(), |point| (point + 4).min(time.len()));
    format!("{date} {} UTC", &time[..end])
}

/// 1.5 ms.
pub(super) fn duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds as f64 / 1e9;
    if nanoseconds == 0 {
        "0 s".to_owned()
    } else if seconds < 1e-3 {
        format!("{:.1} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 120.0 {
        format!("{seconds:.2} s")
    } else if seconds < 7_200.0 {
        format!("{:.1} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.1} h", seconds / 3_600.0)
    } else {
        format!("{:.1} d", seconds / 86_400.0)
    }
}
