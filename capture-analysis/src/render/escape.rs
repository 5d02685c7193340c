//! Texts from packets, escaped for their output medium.

use std::fmt::{self, Write as _};

/// Characters with an effect on a terminal or a browser beyond being shown: controls, and characters
/// that change the text direction.
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Shows a text with such characters escaped, as in `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// See [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_active(character) {
                write!(f, "\\u{{{:x}}}", u32::from(character))?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// For HTML, between tags and inside quoted attributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                active if is_active(active) => write!(f, "\\u{{{:x}}}", u32::from(active))?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// For a field of a CSV file (RFC 4180). A spreadsheet treats a field that begins with one of these as a
/// formula: an apostrophe before it makes it a text.
pub(super) fn csv_field(text: &str) -> String {
    let shown = printable(text).to_string();
    let formula = shown.starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']);
    let text = if formula { format!("'{shown}") } else { shown };
    if text.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, csv_field, printable};

    #[test]
    fn a_terminal_gets_no_control_character() {
        let hostile = "a\x1b]0;owned\x07\u{9b}2J\u{202e}b\r\n";
        let shown = printable(hostile).to_string();
        assert_eq!(shown, r"a\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}b\u{d}\u{a}");
    }

    #[test]
    fn html_gets_no_tag_and_no_quote() {
        let shown = Escaped("<script x='\"&").to_string();
        assert_eq!(shown, "&lt;script x=&#39;&quot;&amp;");
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        assert_eq!(csv_field("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(csv_field("@SUM(1,2)"), "\"'@SUM(1,2)\"");
        assert_eq!(csv_field("say \"a\", b"), "\"say \"\"a\"\", b\"");
        assert_eq!(csv_field("www.example.org"), "www.example.org");
        assert_eq!(csv_field("a\nb"), r"a\u{a}b");
    }
}
