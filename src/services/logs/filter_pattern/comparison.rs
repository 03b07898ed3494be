//! Comparisons of a value: `= "x*"`, `!= 3`, `>= 1.5`, `= %^a.*%`.

use regex_lite::Regex;
use serde_json::Value;
use state::matches_wildcard;

use super::malformed;
use super::scanner::Scanner;
use crate::Result;

/// What a value is compared with, and how.
#[derive(Debug)]
pub(super) struct Comparison {
    operator: Operator,
    operand: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The longer signs come before those that they begin with.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

#[derive(Debug)]
enum Operand {
    /// In quotes: text alone. An asterisk stands for anything.
    Text(String),
    /// Without quotes, and no number: text, or the digits of a number.
    Bare(String),
    Number(f64),
    Regex(Regex),
}

impl Comparison {
    /// Reads a comparison; none if no operator is next.
    pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Option<Self>> {
        scanner.skip_spaces();
        let Some((_, operator)) = OPERATORS.iter().find(|(sign, _)| scanner.eat(sign)) else { return Ok(None) };
        scanner.skip_spaces();
        let operand = Operand::parse(scanner)?;
        let is_order = !matches!(operator, Operator::Equal | Operator::NotEqual);
        if is_order && !matches!(operand, Operand::Number(_)) {
            return Err(malformed());
        }
        Ok(Some(Self { operator: *operator, operand }))
    }

    /// Compares a value of JSON. Objects and lists are like nothing.
    pub(super) fn matches_value(&self, value: &Value) -> bool {
        let is_equal = match (&self.operand, value) {
            (Operand::Number(number), value) => {
                return match value.as_f64() {
                    Some(value) => self.matches_number(value, *number),
                    None => self.operator == Operator::NotEqual && value.is_string(),
                };
            }
            (Operand::Text(pattern) | Operand::Bare(pattern), Value::String(text)) => matches_wildcard(pattern, text),
            (Operand::Regex(regex), Value::String(text)) => regex.is_match(text),
            (Operand::Bare(pattern), Value::Number(number)) => matches_wildcard(pattern, &number.to_string()),
            (Operand::Regex(regex), Value::Number(number)) => regex.is_match(&number.to_string()),
            (Operand::Text(_), Value::Number(_)) => false,
            (_, Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return false,
        };
        is_equal == (self.operator == Operator::Equal)
    }

    /// Compares a word, as a number where a number is asked for.
    pub(super) fn matches_word(&self, word: &str) -> bool {
        let is_equal = match &self.operand {
            Operand::Number(number) => {
                return match word.parse() {
                    Ok(word) => self.matches_number(word, *number),
                    Err(_) => self.operator == Operator::NotEqual,
                };
            }
            Operand::Text(pattern) | Operand::Bare(pattern) => matches_wildcard(pattern, word),
            Operand::Regex(regex) => regex.is_match(word),
        };
        is_equal == (self.operator == Operator::Equal)
    }

    fn matches_number(&self, value: f64, operand: f64) -> bool {
        match self.operator {
            Operator::Equal => value == operand,
            Operator::NotEqual => value != operand,
            Operator::Less => value < operand,
            Operator::LessOrEqual => value <= operand,
            Operator::Greater => value > operand,
            Operator::GreaterOrEqual => value >= operand,
        }
    }
}

impl Operand {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self> {
        match scanner.peek() {
            Some('"') => scanner.quoted('"').map(Self::Text),
            Some('%') => scanner.regex().map(Self::Regex),
            _ => {
                let is_part = |c: char| !c.is_whitespace() && !"()[]{}&|,=<>!\"".contains(c);
                match scanner.take_while(is_part) {
                    "" => Err(malformed()),
                    text => Ok(text.parse().map_or_else(|_| Self::Bare(text.to_owned()), Self::Number)),
                }
            }
        }
    }
}
