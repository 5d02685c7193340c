//! Errors of the other side as reasons for people: one line, bounded, without secrets.

/// The longest reason, in characters.
const LONGEST: usize = 400;

/// Removes secrets from texts.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(..)")
    }
}

impl Redactor {
    /// Removes these; short ones are no secrets.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        Self {
            secrets: secrets
                .into_iter()
                .filter(|secret| secret.len() >= 6)
                .collect(),
        }
    }

    /// A text in one line without secrets.
    #[must_use]
    pub fn line(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        let mut line: String = text
            .split(|c: char| c.is_control())
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if let Some((at, _)) = line.char_indices().nth(LONGEST) {
            line.truncate(at);
            line.push_str(" ...");
        }
        line
    }

    /// An error with its causes, as one line.
    #[must_use]
    pub fn error(&self, error: &dyn std::error::Error) -> String {
        self.line(&chain(error))
    }
}

/// An error with its causes, none of them twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Redactor};

    #[test]
    fn a_reason_is_one_bounded_line_without_secrets() {
        let redactor = Redactor::new(["s3cr3t-key".to_owned(), "a".to_owned()]);
        let line = redactor.line("GET http://x?sig=s3cr3t-key\n\n  failed\u{1b}[31m");
        assert_eq!(line, "GET http://x?sig=*** failed [31m");
        let line = redactor.line(&"é".repeat(10_000));
        assert!(line.chars().count() <= LONGEST + 4);
    }
}
