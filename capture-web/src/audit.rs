//! The audit log: who did what. Its lines have the target `audit`, like the daemon's. The length of each field is
//! bounded; the number of lines is by the limits on requests.

/// The target of audit lines.
pub(crate) const TARGET: &str = "audit";

/// The most bytes of a field.
const MOST: usize = 200;

/// Logs an action.
pub(crate) fn log(who: &str, action: &str, object: &str, outcome: &str) {
    tracing::info!(
        target: TARGET,
        who = %cut(who).escape_debug(),
        action,
        object = %cut(object).escape_debug(),
        outcome = %cut(outcome).escape_debug(),
        "audit"
    );
}

/// The first bytes of a text, whole letters only.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_fields_are_cut_at_a_letter() {
        assert_eq!(cut("short"), "short");
        let long = "\u{1f40b}".repeat(100);
        assert_eq!(cut(&long).len(), 200);
        assert_eq!(cut(&format!("a{long}")).len(), 197);
    }
}
