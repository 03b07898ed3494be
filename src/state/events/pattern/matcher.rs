//! What one value of an event is compared with.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::PatternError;

/// The numbers that `numeric` can name lie between this and its negative, as in EventBridge.
const NUMBER_MAX: f64 = 5e9;

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Exact(Value),
    Prefix(Text),
    Suffix(Text),
    Equals(Text),
    Wildcard(Vec<Piece>),
    /// None of these.
    AnythingBut(Vec<Matcher>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
    Cidr(IpAddr, u8),
}

/// A text, compared as it is or whatever its case.
#[derive(Clone, Debug)]
pub(super) struct Text {
    text: String,
    ignores_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Returns whether one of the matchers matches one of the values. No values stand for a member that is not there.
pub(super) fn any_matches(any: &[Matcher], values: &[&Value]) -> bool {
    any.iter().any(|matcher| match matcher {
        Matcher::Exists(wanted) => *wanted != values.is_empty(),
        matcher => values.iter().any(|value| matcher.matches(value)),
    })
}

impl Matcher {
    pub(super) fn parse(value: &Value) -> Result<Self, PatternError> {
        match value {
            Value::Object(object) => parse_object(object),
            Value::Array(_) => Err(fail("Match value must be String, number, true, false, or null")),
            scalar => Ok(Self::Exact(scalar.clone())),
        }
    }

    fn matches(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Exact(wanted) => value == wanted,
            Self::Prefix(wanted) => text.is_some_and(|text| wanted.begins(text)),
            Self::Suffix(wanted) => text.is_some_and(|text| wanted.ends(text)),
            Self::Equals(wanted) => text.is_some_and(|text| wanted.is(text)),
            Self::Wildcard(pieces) => text.is_some_and(|text| wildcard_matches(pieces, text)),
            Self::AnythingBut(none) => !none.iter().any(|matcher| matcher.matches(value)),
            Self::Numeric(all) => {
                value.as_f64().is_some_and(|number| all.iter().all(|(how, than)| how.holds(number, *than)))
            }
            Self::Exists(wanted) => *wanted,
            Self::Cidr(network, bits) => {
                text.and_then(|text| text.parse().ok()).is_some_and(|address| is_within(address, *network, *bits))
            }
        }
    }
}

impl Text {
    fn of(&self, text: &str) -> String {
        if self.ignores_case { text.to_lowercase() } else { text.to_owned() }
    }

    fn begins(&self, text: &str) -> bool {
        self.of(text).starts_with(&self.of(&self.text))
    }

    fn ends(&self, text: &str) -> bool {
        self.of(text).ends_with(&self.of(&self.text))
    }

    fn is(&self, text: &str) -> bool {
        self.of(text) == self.of(&self.text)
    }
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    #[allow(clippy::float_cmp, reason = "a pattern that asks for equality means it")]
    fn holds(self, number: f64, than: f64) -> bool {
        match self {
            Self::Equal => number == than,
            Self::Less => number < than,
            Self::LessOrEqual => number <= than,
            Self::Greater => number > than,
            Self::GreaterOrEqual => number >= than,
        }
    }
}

fn fail(why: impl Into<String>) -> PatternError {
    PatternError(why.into())
}

fn parse_object(object: &Map<String, Value>) -> Result<Matcher, PatternError> {
    let mut members = object.iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return Err(fail("Only one key allowed in match expression"));
    };
    match kind.as_str() {
        "prefix" => parse_text(value, "prefix").map(Matcher::Prefix),
        "suffix" => parse_text(value, "suffix").map(Matcher::Suffix),
        "equals-ignore-case" => match value {
            Value::String(text) => Ok(Matcher::Equals(Text { text: text.clone(), ignores_case: true })),
            _ => Err(fail("equals-ignore-case match pattern must be a string")),
        },
        "wildcard" => match value {
            Value::String(text) => parse_wildcard(text).map(Matcher::Wildcard),
            _ => Err(fail("wildcard match pattern must be a string")),
        },
        "anything-but" => parse_anything_but(value),
        "numeric" => parse_numeric(value),
        "exists" => match value {
            Value::Bool(wanted) => Ok(Matcher::Exists(*wanted)),
            _ => Err(fail("exists match pattern must be either true or false.")),
        },
        "cidr" => match value {
            Value::String(text) => parse_cidr(text),
            _ => Err(fail("prefix match pattern must be a string")),
        },
        unknown => Err(fail(format!("Unrecognized match type {unknown}"))),
    }
}

/// Reads what `prefix` or `suffix` names: a text, or one whose case does not matter.
fn parse_text(value: &Value, kind: &str) -> Result<Text, PatternError> {
    match value {
        Value::String(text) => Ok(Text { text: text.clone(), ignores_case: false }),
        Value::Object(object) => match object.iter().next() {
            Some((name, Value::String(text))) if object.len() == 1 && name == "equals-ignore-case" => {
                Ok(Text { text: text.clone(), ignores_case: true })
            }
            _ => Err(fail(format!("{kind} match pattern must be a string"))),
        },
        _ => Err(fail(format!("{kind} match pattern must be a string"))),
    }
}

fn parse_anything_but(value: &Value) -> Result<Matcher, PatternError> {
    let not_these = "Value of anything-but must be an array or single string/number value.";
    let scalar = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(Matcher::Exact(value.clone())),
        _ => Err(fail("Inside anything but list, start|null|boolean is not supported.")),
    };
    let none = match value {
        Value::String(_) | Value::Number(_) => vec![Matcher::Exact(value.clone())],
        Value::Array(values) if values.is_empty() => return Err(fail("Empty arrays are not allowed")),
        Value::Array(values) => {
            if values.iter().any(Value::is_string) && values.iter().any(Value::is_number) {
                let mixed = "either all values are number or string, mixed type is not supported";
                return Err(fail(format!("Inside anything but list, {mixed}")));
            }
            values.iter().map(scalar).collect::<Result<_, _>>()?
        }
        Value::Object(object) => {
            let mut members = object.iter();
            let (Some((kind, value)), None) = (members.next(), members.next()) else {
                return Err(fail("Only one key allowed in match expression"));
            };
            parse_anything_but_kind(kind, value)?
        }
        Value::Null | Value::Bool(_) => return Err(fail(not_these)),
    };
    Ok(Matcher::AnythingBut(none))
}

/// Reads `{"prefix": "a"}` or `{"prefix": ["a", "b"]}` and the like.
fn parse_anything_but_kind(kind: &str, value: &Value) -> Result<Vec<Matcher>, PatternError> {
    let make = match kind {
        "prefix" => |value: &Value| parse_text(value, "anything-but prefix").map(Matcher::Prefix),
        "suffix" => |value: &Value| parse_text(value, "anything-but suffix").map(Matcher::Suffix),
        "equals-ignore-case" => |value: &Value| match value {
            Value::String(text) => Ok(Matcher::Equals(Text { text: text.clone(), ignores_case: true })),
            _ => Err(fail("Inside anything but/ignore case list, number|start|null|boolean is not supported.")),
        },
        "wildcard" => |value: &Value| match value {
            Value::String(text) => parse_wildcard(text).map(Matcher::Wildcard),
            _ => Err(fail("anything-but wildcard match pattern must be a string")),
        },
        unknown => return Err(fail(format!("Unsupported anything-but pattern: {unknown}"))),
    };
    match value {
        Value::Array(values) if values.is_empty() => Err(fail("Empty arrays are not allowed")),
        Value::Array(values) => values.iter().map(make).collect(),
        value => Ok(vec![make(value)?]),
    }
}

fn parse_numeric(value: &Value) -> Result<Matcher, PatternError> {
    let Value::Array(words) = value else { return Err(fail("Value of numeric must be an array.")) };
    let mut all = Vec::new();
    for pair in words.chunks(2) {
        let how = pair.first().and_then(Value::as_str);
        let how = how.ok_or_else(|| fail("Invalid member in numeric match: operator must be a string"))?;
        let comparison =
            Comparison::parse(how).ok_or_else(|| fail(format!("Unrecognized numeric range operator: {how}")))?;
        let than = pair.get(1).and_then(Value::as_f64);
        let than = than.ok_or_else(|| fail(format!("Value of {how} must be numeric")))?;
        if than.abs() > NUMBER_MAX {
            return Err(fail(format!("Value must be between -{NUMBER_MAX:e} and {NUMBER_MAX:e}, inclusive")));
        }
        all.push((comparison, than));
    }
    match all[..] {
        [] => return Err(fail("Invalid member in numeric match: empty")),
        [_] => {}
        [
            (Comparison::Greater | Comparison::GreaterOrEqual, bottom),
            (Comparison::Less | Comparison::LessOrEqual, top),
        ] => {
            if bottom >= top {
                return Err(fail("Bottom must be less than top"));
            }
        }
        _ => return Err(fail("Too many terms in numeric range expression")),
    }
    Ok(Matcher::Numeric(all))
}

fn parse_cidr(text: &str) -> Result<Matcher, PatternError> {
    let malformed = || fail(format!("Malformed CIDR, one '/' required: {text}"));
    let (address, bits) = text.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| fail(format!("Nonstandard IP address: {address}")))?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= bits_max);
    let bits = bits.ok_or_else(|| fail("Malformed CIDR, mask bits must be an integer"))?;
    Ok(Matcher::Cidr(address, bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let common = |differences: u128, width: u32| differences.leading_zeros() - (128 - width) >= u32::from(bits);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => common(u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => common(a.to_bits() ^ b.to_bits(), 128),
        _ => false,
    }
}

/// Reads a wildcard: `*` stands for any characters, `\*` and `\\` for themselves.
fn parse_wildcard(text: &str) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                if pieces.last() == Some(&Piece::Anything) {
                    return Err(fail("Consecutive wildcard characters are not allowed"));
                }
                pieces.push(Piece::Anything);
            }
            '\\' => match characters.next() {
                Some(escaped @ ('*' | '\\')) => literal.push(escaped),
                _ => return Err(fail("Invalid escape character")),
            },
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Matches greedily from the left; the last literal is looked for at the end. So it takes no longer than the text is.
fn wildcard_matches(pieces: &[Piece], text: &str) -> bool {
    let mut rest = text;
    let mut is_anchored = true;
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Anything => is_anchored = false,
            Piece::Literal(literal) if is_anchored => match rest.strip_prefix(literal.as_str()) {
                Some(left) => rest = left,
                None => return false,
            },
            Piece::Literal(literal) if place + 1 == pieces.len() => return rest.ends_with(literal.as_str()),
            Piece::Literal(literal) => match rest.find(literal.as_str()) {
                Some(at) => {
                    rest = rest.get(at + literal.len()..).unwrap_or_default();
                    is_anchored = true;
                }
                None => return false,
            },
        }
    }
    !is_anchored || rest.is_empty()
}
