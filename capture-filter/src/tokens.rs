//! Splits an expression into the tokens that libpcap's scanner sees.

/// A word or an operator, and its offset in the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl Token<'_> {
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Longer ones first.
const OPERATORS: [&str; 24] = [
    "<<", ">>", "<=", ">=", "!=", "==", "&&", "||", "(", ")", "[", "]", "+", "-", "*", "/", "%",
    "&", "|", "^", "<", ">", "=", "!",
];

/// Splits an expression into tokens. Characters other than operators and white space are part of a
/// token.
pub(super) fn tokenize(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = &expression[at..];
        let length = OPERATORS
            .iter()
            .find(|operator| rest.starts_with(**operator))
            .map_or_else(|| token_length(rest), |operator| operator.len());
        tokens.push(Token {
            start: at,
            text: &rest[..length],
        });
        at += length;
    }
    tokens
}

/// A minus inside a token belongs to it (`icmp-echo`, `00-11-22-33-44-55`), as does a character
/// escaped by a backslash and a colon with a bracket's size after it.
fn token_length(rest: &str) -> usize {
    let ends =
        |character: char| character.is_ascii_whitespace() || "()[]+*/%&|^<>=!".contains(character);
    let length = rest.find(ends).unwrap_or(rest.len());
    // At least one character, so that the loop ends for any input.
    length.max(rest.chars().next().map_or(1, char::len_utf8))
}

/// How deep parentheses and brackets are nested.
pub(super) fn depth(tokens: &[Token<'_>]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
