//! Quantities of Kubernetes: `250m`, `1536Ki`, `1e3`.

/// The value of a quantity in its base unit: cores, bytes. `None` if it is no quantity, or not finite.
pub(super) fn parse(text: &str) -> Option<f64> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            10f64.powi(exponent.parse().ok()?)
        }
    };
    let value = number * factor;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, value) in [
            ("0", 0.0),
            ("2", 2.0),
            ("250m", 0.25),
            ("123456789n", 0.123_456_789),
            ("1500u", 0.0015),
            ("0.5", 0.5),
            ("128974848", 128_974_848.0),
            ("129e6", 129e6),
            ("1E3", 1e3),
            ("2E", 2e18),
            ("123Mi", 123.0 * 1_048_576.0),
            ("1536Ki", 1_572_864.0),
        ] {
            let found = parse(text).unwrap_or(f64::NAN);
            assert!((found - value).abs() <= value * 1e-12, "{text}: {found}");
        }
        for text in ["", "m", "1x", "1e", "1e999", "one", "1 Ki", "--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
