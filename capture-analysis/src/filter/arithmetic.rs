//! Arithmetic in expressions: `ip[2:2] - ((ip[0] & 0xf) << 2) > 100`.

use super::{
    FilterError,
    ast::{Arithmetic, Operator, Proto, Relation},
    code::apply,
    names,
    parser::Parser,
    tokens::Token,
};

/// Operators by precedence, the lowest first.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("|", Operator::Or), ("^", Operator::Xor)],
    &[("&", Operator::And)],
    &[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
        ("%", Operator::Remainder),
    ],
];

pub(super) fn relation_of(sign: &str) -> Option<Relation> {
    Some(match sign {
        "<" => Relation::Less,
        "<=" => Relation::AtMost,
        "=" | "==" => Relation::Equal,
        "!=" => Relation::NotEqual,
        ">=" => Relation::AtLeast,
        ">" => Relation::Greater,
        _ => return None,
    })
}

impl Parser {
    pub(super) fn arithmetic(&mut self) -> Result<Arithmetic, FilterError> {
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Arithmetic, FilterError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.operand();
        };
        let mut left = self.level(level + 1)?;
        loop {
            let Some(Token::Sign(sign)) = self.peek() else {
                return Ok(left);
            };
            let Some((_, operator)) = operators.iter().find(|(known, _)| known == sign) else {
                return Ok(left);
            };
            self.at += 1;
            let right = self.level(level + 1)?;
            left = of(*operator, left, right)?;
        }
    }

    fn operand(&mut self) -> Result<Arithmetic, FilterError> {
        if self.take_sign("-") {
            let inner = self.deeper(Self::operand)?;
            return Ok(match inner {
                Arithmetic::Number(number) => Arithmetic::Number(number.wrapping_neg()),
                inner => Arithmetic::Negated(Box::new(inner)),
            });
        }
        if self.take_sign("(") {
            let inner = self.deeper(Self::arithmetic)?;
            self.must(")")?;
            return Ok(inner);
        }
        let token = self.next("a value")?;
        match &token {
            Token::Number(number) => Ok(Arithmetic::Number(*number)),
            Token::Word(word) if word == "len" => Ok(Arithmetic::Length),
            Token::Word(word) => match (names::constant(word), Proto::named(word)) {
                (Some(number), _) => Ok(Arithmetic::Number(number)),
                (None, Some(proto)) => {
                    self.must("[")?;
                    self.load(proto)
                }
                (None, None) => Err(FilterError::Word { word: word.clone() }),
            },
            other => Err(FilterError::Word {
                word: other.to_string(),
            }),
        }
    }

    fn load(&mut self, proto: Proto) -> Result<Arithmetic, FilterError> {
        let at = self.deeper(Self::arithmetic)?;
        let mut size = 1;
        if self.take_sign(":") {
            let number = self.number("1, 2 or 4 bytes")?;
            size = match number {
                1 | 2 | 4 => number as u8,
                _ => {
                    return Err(FilterError::Value {
                        value: number.to_string(),
                        expected: "number of bytes: 1, 2 or 4",
                    });
                }
            };
        }
        self.must("]")?;
        Ok(Arithmetic::Load(proto, Box::new(at), size))
    }
}

/// Computes constant parts.
fn of(operator: Operator, one: Arithmetic, other: Arithmetic) -> Result<Arithmetic, FilterError> {
    if let (Operator::Divide | Operator::Remainder, Arithmetic::Number(0)) = (operator, &other) {
        return Err(FilterError::Value {
            value: "0".to_owned(),
            expected: "divisor",
        });
    }
    if let (Arithmetic::Number(one), Arithmetic::Number(other)) = (&one, &other)
        && let Some(number) = apply(operator, *one, *other)
    {
        return Ok(Arithmetic::Number(number));
    }
    Ok(Arithmetic::Of(operator, Box::new(one), Box::new(other)))
}
