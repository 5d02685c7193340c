//! From text to the tokens of an expression.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::FilterError;

/// Maximum tokens of a sensible expression.
pub(super) const MOST_TOKENS: usize = 2_000;

/// A token of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, a name, or a range such as `80-90`.
    Word(String),
    /// A name after a backslash: never a keyword.
    Escaped(String),
    Number(u32),
    /// The first bytes of an IPv4 address, and their number of bits.
    Dotted(u32, u32),
    Six(Ipv6Addr),
    Hardware([u8; 6]),
    /// Operators and brackets.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 25] = [
    "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "(", ")", "[", "]", ":", "/", "*", "%", "+",
    "-", "&", "|", "^", "<", ">", "=", "!",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if tokens.len() >= MOST_TOKENS {
            return Err(FilterError::TooLong(MOST_TOKENS));
        }
        let (token, length) = if let Some(name) = rest.strip_prefix('\\') {
            let length = run(name, |one| {
                one.is_ascii_alphanumeric() || "-_.".contains(one)
            });
            (Token::Escaped(name[..length].to_owned()), length + 1)
        } else if let Some(found) = address(rest) {
            found
        } else if first.is_ascii_alphanumeric() {
            let length = run(rest, |one| {
                one.is_ascii_alphanumeric() || "-_.".contains(one)
            });
            let word = rest[..length].trim_end_matches(['-', '_']);
            (word_or_number(word)?, word.len())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(FilterError::Word {
                word: first.to_string(),
            });
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|one| !belongs(one)).unwrap_or(text.len())
}

/// An IPv6 or hardware address at the beginning of a text. `2:2`, as in `ip[2:2]`, is neither.
fn address(text: &str) -> Option<(Token, usize)> {
    let length = run(text, |one| one.is_ascii_hexdigit() || ":.".contains(one));
    let whole = &text[..length];
    if whole.matches(':').count() >= 2
        && let Ok(six) = whole.parse()
    {
        return Some((Token::Six(six), length));
    }
    let length = run(text, |one| one.is_ascii_hexdigit() || ":-".contains(one));
    let whole = &text[..length];
    let separator = if whole.contains(':') { ':' } else { '-' };
    let mut bytes = [0; 6];
    let mut parts = whole.split(separator);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts
        .next()
        .is_none()
        .then_some((Token::Hardware(bytes), length))
}

fn word_or_number(word: &str) -> Result<Token, FilterError> {
    let invalid = |expected| FilterError::Value {
        value: word.to_owned(),
        expected,
    };
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        let number = u32::from_str_radix(digits, 16);
        return number
            .map(Token::Number)
            .map_err(|_| invalid("number of 32 bits"));
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        // As in C, a leading zero means octal.
        let octal = word.len() > 1 && word.starts_with('0');
        let number = u32::from_str_radix(word, if octal { 8 } else { 10 });
        return number
            .map(Token::Number)
            .map_err(|_| invalid("number of 32 bits"));
    }
    if word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let mut value = 0;
        let mut bits = 0;
        for part in word.split('.') {
            let byte: u8 = part.parse().map_err(|_| invalid("IPv4 address"))?;
            value = value << 8 | u32::from(byte);
            bits += 8;
            if bits > 32 {
                return Err(invalid("IPv4 address"));
            }
        }
        return Ok(Token::Dotted(value, bits));
    }
    Ok(Token::Word(word.to_owned()))
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Escaped(word) => write!(f, "\\{word}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Dotted(value, 32) => Ipv4Addr::from(*value).fmt(f),
            Self::Dotted(value, bits) => {
                let shown = Ipv4Addr::from(value << (32 - bits)).to_string();
                let parts: Vec<&str> = shown.split('.').take(*bits as usize / 8).collect();
                f.write_str(&parts.join("."))
            }
            Self::Six(address) => address.fmt(f),
            Self::Hardware(address) => f.write_str(&crate::engine::mac(*address)),
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}
