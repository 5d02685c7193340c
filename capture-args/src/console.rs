//! Text for people: without control characters from outside, and never blocking the program's work.

use std::{
    fmt::Display,
    io::{Write as _, stderr},
};

/// Writes a line to stderr. Errors, for example of a closed terminal, are ignored: the program continues
/// its work.
pub fn tell(text: impl Display) {
    let line = format!("{}\n", plain_lines(&text.to_string()));
    let _ = stderr().write_all(line.as_bytes());
}

/// Whether a character has an effect on a terminal beyond being shown: control characters, of which ESC
/// and U+009B begin commands, and those that change the direction of text.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with its unprintable characters escaped, including newlines: `\u{1b}`.
#[must_use]
pub fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// The text with its unprintable characters escaped, except newlines.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) && !keep(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{plain, plain_lines};

    #[test]
    fn nothing_commands_the_terminal() {
        let hostile = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\rd\u{7f}";
        let shown = plain(hostile);
        assert_eq!(shown, r"a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{d}d\u{7f}");
        assert_eq!(plain("ä €\n"), "ä €\\u{a}");
        assert_eq!(plain_lines("one\ntwo\u{1b}"), "one\ntwo\\u{1b}");
    }
}
