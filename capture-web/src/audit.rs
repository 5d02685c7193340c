//! The audit log: who did what. Its lines have the target `audit`, like the daemon's. A client cannot flood the log:
//! the length of each field is bounded, and above a rate the lines of a client are left out, which a line says.

use std::sync::LazyLock;

use crate::access::Rates;

/// The target of audit lines.
pub(crate) const TARGET: &str = "audit";

/// The most bytes of a field.
const MOST: usize = 200;
/// Lines per minute that somebody may cause.
const PER_MINUTE: u32 = 300;

static LINES: LazyLock<Rates> = LazyLock::new(|| Rates::new(PER_MINUTE));
static NOTICES: LazyLock<Rates> = LazyLock::new(|| Rates::new(1));

/// Logs an action.
pub(crate) fn log(who: &str, action: &str, object: &str, outcome: &str) {
    let who = cut(who).escape_debug();
    let key = who.to_string();
    if LINES.take(&key).is_err() {
        if NOTICES.take(&key).is_ok() {
            tracing::warn!(
                target: TARGET,
                %who,
                "more than {PER_MINUTE} lines in a minute: the rest is left out"
            );
        }
        return;
    }
    tracing::info!(
        target: TARGET,
        %who,
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
