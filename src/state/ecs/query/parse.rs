//! Reads expressions of the cluster query language.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use regex_lite::Regex;

use super::{Expression, Subject, Test};

/// The longest expression: the API's documented limit, in characters.
const EXPRESSION_CHARS_MAX: usize = 2000;
/// How deep brackets and negations may lie in each other.
const DEPTH_MAX: usize = 16;

/// An expression that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError(String);

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Result<T> = std::result::Result<T, QueryError>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word, or what stood in quotation marks.
    Text(String),
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: [&str; 16] = ["==", "!=", "=~", "!~", ">=", "<=", "&&", "||", ">", "<", "!", "(", ")", "[", "]", ","];

pub(super) fn query(text: &str) -> Result<Expression> {
    if text.chars().count() > EXPRESSION_CHARS_MAX {
        return Err(QueryError(format!("it is longer than {EXPRESSION_CHARS_MAX} characters")));
    }
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), depth: 0 };
    let expression = parser.any()?;
    match parser.tokens.next() {
        None => Ok(expression),
        Some(token) => Err(unexpected(Some(&token))),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if matches!(first, '"' | '\'') {
            let (quoted, after) =
                rest[1..].split_once(first).ok_or_else(|| QueryError("a quotation mark is not closed".to_owned()))?;
            tokens.push(Token::Text(quoted.to_owned()));
            rest = after;
        } else {
            let is_end = |c: char| c.is_whitespace() || "()[],=!<>&|'\"~".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            if end == 0 {
                return Err(QueryError(format!("unexpected '{first}'")));
            }
            tokens.push(Token::Text(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression> {
        let mut parts = vec![self.all()?];
        while self.take("||") || self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression> {
        let mut parts = vec![self.one()?];
        while self.take("&&") || self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(QueryError(format!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        let expression = if self.take("!") || self.take_word("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression> {
        let subject = subject(&self.text()?)?;
        let (test, is_negated) = self.operator(&subject)?;
        let test = Expression::Test { subject, test };
        Ok(if is_negated { Expression::Not(Box::new(test)) } else { test })
    }

    /// Reads an operator and its argument; the flag tells whether it is one that negates.
    fn operator(&mut self, subject: &Subject) -> Result<(Test, bool)> {
        let operator = match self.tokens.next() {
            Some(Token::Text(word)) => word,
            Some(Token::Sign("!")) => format!("!{}", self.text()?),
            Some(Token::Sign(sign)) => sign.to_owned(),
            None => return Err(unexpected(None)),
        };
        let kind = match operator.as_str() {
            "==" | "equals" | "!=" | "not_equals" => Kind::Equality,
            ">" | "greater_than" | ">=" | "greater_than_equal" | "<" | "less_than" | "<=" | "less_than_equal" => {
                Kind::Order
            }
            "in" | "!in" | "not_in" => Kind::Membership,
            "=~" | "matches" | "!~" | "not_matches" => Kind::Pattern,
            "exists" | "!exists" | "not_exists" => Kind::Existence,
            _ => return Err(QueryError(format!("unknown operator '{operator}'"))),
        };
        if !kind.is_for(subject) {
            return Err(QueryError(format!("operator '{operator}' does not apply to that subject")));
        }
        let is_negated = operator.starts_with('!') || operator.starts_with("not_");
        let test = match kind {
            Kind::Existence => Test::Exists,
            Kind::Membership => Test::OneOf(self.list()?),
            Kind::Pattern => {
                let pattern = self.text()?;
                let regex = Regex::new(&format!("^(?:{pattern})$"));
                Test::Matches(regex.map_err(|error| QueryError(format!("'{pattern}' is no pattern: {error}")))?)
            }
            // Text equals only itself: as numbers, 1 and 01 would be the same.
            Kind::Equality => Test::OneOf(vec![argument(subject, self.text()?)?]),
            Kind::Order => Test::Compare { allows: order(&operator), with: argument(subject, self.text()?)? },
        };
        Ok((test, is_negated))
    }

    fn list(&mut self) -> Result<Vec<String>> {
        self.expect("[")?;
        let mut values = vec![self.text()?];
        while self.take(",") {
            values.push(self.text()?);
        }
        self.expect("]")?;
        Ok(values)
    }

    fn text(&mut self) -> Result<String> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(text),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn take(&mut self, sign: &'static str) -> bool {
        self.tokens.next_if(|token| *token == Token::Sign(sign)).is_some()
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Text(text) if text == word)).is_some()
    }

    fn expect(&mut self, sign: &'static str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(unexpected(self.tokens.peek())) }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Equality,
    Order,
    Membership,
    Pattern,
    Existence,
}

impl Kind {
    fn is_for(self, subject: &Subject) -> bool {
        match subject {
            Subject::Attribute(_) | Subject::TaskGroup => true,
            Subject::AgentConnected | Subject::Ec2InstanceId => {
                matches!(self, Self::Equality | Self::Membership | Self::Pattern)
            }
            Subject::AgentVersion | Subject::RegisteredAt | Subject::RunningTasksCount => {
                matches!(self, Self::Equality | Self::Order)
            }
        }
    }
}

fn order(operator: &str) -> &'static [Ordering] {
    match operator {
        ">" | "greater_than" => &[Greater],
        ">=" | "greater_than_equal" => &[Greater, Equal],
        "<" | "less_than" => &[Less],
        _ => &[Less, Equal],
    }
}

fn subject(word: &str) -> Result<Subject> {
    Ok(match word {
        "agentConnected" => Subject::AgentConnected,
        "agentVersion" => Subject::AgentVersion,
        "ec2InstanceId" => Subject::Ec2InstanceId,
        "registeredAt" => Subject::RegisteredAt,
        "runningTasksCount" => Subject::RunningTasksCount,
        "task:group" => Subject::TaskGroup,
        word => match word.strip_prefix("attribute:") {
            Some(name) if !name.is_empty() => Subject::Attribute(name.to_owned()),
            _ => return Err(QueryError(format!("unknown subject '{word}'"))),
        },
    })
}

/// Brings an argument into the form of the subject's values.
fn argument(subject: &Subject, text: String) -> Result<String> {
    match subject {
        Subject::RegisteredAt => millis(&text).ok_or_else(|| QueryError(format!("'{text}' is no date"))),
        Subject::RunningTasksCount if text.parse::<i64>().is_err() => Err(QueryError(format!("'{text}' is no number"))),
        _ => Ok(text),
    }
}

/// Reads `2018-06-18T22:28:28+00:00`, `…Z`, without a zone, or a day alone.
fn millis(text: &str) -> Option<String> {
    let completed = match text.split_once('T') {
        None => format!("{text}T00:00:00Z"),
        Some((_, time)) if time.contains(['Z', '+', '-']) => text.to_owned(),
        Some(_) => format!("{text}Z"),
    };
    let date = DateTime::from_str(&completed, Format::DateTimeWithOffset).ok()?;
    date.to_millis().ok().map(|millis| millis.to_string())
}

fn unexpected(token: Option<&Token>) -> QueryError {
    QueryError(match token {
        None => "it ends too early".to_owned(),
        Some(Token::Text(text)) => format!("unexpected '{text}'"),
        Some(Token::Sign(sign)) => format!("unexpected '{sign}'"),
    })
}
