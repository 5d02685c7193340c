//! The tokens of an expression, one after the other.

use super::{FilterError, ast::Qualifiers, tokens::Token};

const DEEPEST: usize = 50;

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    depth: usize,
    /// The qualifiers of the identifier before, which a later one without words inherits.
    pub(super) last: Option<Qualifiers>,
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
            last: None,
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self, expected: &'static str) -> Result<Token, FilterError> {
        let token = self.peek().cloned();
        self.at += 1;
        token.ok_or(FilterError::End { expected })
    }

    pub(super) fn word(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word(word)) => Some(word),
            Some(Token::Sign("&&")) => Some("and"),
            Some(Token::Sign("||")) => Some("or"),
            Some(Token::Sign("!")) => Some("not"),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, word: &str) -> bool {
        let there = self.word(0) == Some(word);
        self.at += usize::from(there);
        there
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(one)) if *one == sign);
        self.at += usize::from(there);
        there
    }

    pub(super) fn must(&mut self, sign: &'static str) -> Result<(), FilterError> {
        if self.take_sign(sign) {
            return Ok(());
        }
        match self.peek() {
            None => Err(FilterError::End { expected: sign }),
            Some(token) => Err(FilterError::Word {
                word: token.to_string(),
            }),
        }
    }

    pub(super) fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(FilterError::TooDeep(DEEPEST));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub(super) fn number(&mut self, expected: &'static str) -> Result<u32, FilterError> {
        match self.next(expected)? {
            Token::Number(number) => Ok(number),
            other => Err(FilterError::Value {
                value: other.to_string(),
                expected,
            }),
        }
    }
}
