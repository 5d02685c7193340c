//! The words of an expression, cut as libpcap's scanner cuts them.

/// A word or a sign, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl Word<'_> {
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Signs that stand for themselves; the longer first.
const SIGNS: [&str; 24] = [
    "<<", ">>", "<=", ">=", "!=", "==", "&&", "||", "(", ")", "[", "]", "+", "-", "*", "/", "%",
    "&", "|", "^", "<", ">", "=", "!",
];

/// Cuts an expression into words. What is no sign and no white space is part of a word.
pub(super) fn split(expression: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = &expression[at..];
        let length = SIGNS
            .iter()
            .find(|sign| rest.starts_with(**sign))
            .map_or_else(|| word_length(rest), |sign| sign.len());
        words.push(Word {
            start: at,
            text: &rest[..length],
        });
        at += length;
    }
    words
}

/// A minus inside a word belongs to it (`icmp-echo`, `00-11-22-33-44-55`), as does what a backslash
/// escapes and a colon with a bracket's size after it.
fn word_length(rest: &str) -> usize {
    let ends =
        |character: char| character.is_ascii_whitespace() || "()[]+*/%&|^<>=!".contains(character);
    let length = rest.find(ends).unwrap_or(rest.len());
    // At least one character, so that cutting comes to an end whatever stands there.
    length.max(rest.chars().next().map_or(1, char::len_utf8))
}

/// How deep parentheses and brackets are nested.
pub(super) fn depth(words: &[Word<'_>]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for word in words {
        match word.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
