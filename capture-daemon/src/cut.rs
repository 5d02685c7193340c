//! Truncates texts from outside, so that a log line or a status has a bounded size.

use std::borrow::Cow;

/// The text; if it is longer than this many bytes, its beginning and `...`.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut end = most.saturating_sub(3);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}...", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_long_text_keeps_its_beginning_and_whole_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "lo...");
        assert_eq!(cut("\u{e9}\u{e9}\u{e9}", 5), "\u{e9}...");
        assert_eq!(cut("abcd", 2), "...");
    }
}
