//! Filter patterns: which events are wanted. Three languages: terms, `{ … }` over events that are JSON, and `[ … ]` over
//! events that are words.

mod comparison;
mod json;
mod scanner;
mod terms;
mod words;

use crate::{Error, Result, invalid};

use json::JsonPattern;
use terms::Terms;
use words::Words;

/// What an event must be like.
#[derive(Debug)]
pub(crate) enum FilterPattern {
    /// Words and phrases anywhere in it.
    Terms(Terms),
    /// `{ $.level = "error" }`.
    Json(JsonPattern),
    /// `[ip, user, ..., status = 4*]`.
    Words(Words),
}

impl FilterPattern {
    /// Reads a pattern. An empty one matches every event.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            text if text.starts_with('{') => JsonPattern::parse(text).map(Self::Json),
            text if text.starts_with('[') => Words::parse(text).map(Self::Words),
            text => Terms::parse(text).map(Self::Terms),
        }
    }

    /// Tells whether an event is wanted.
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.matches(message),
            Self::Json(pattern) => pattern.matches(message),
            Self::Words(words) => words.matches(message),
        }
    }
}

/// Makes the error of a pattern that cannot be read. Text unverified.
fn malformed() -> Error {
    invalid("Invalid filter pattern")
}

/// Makes the error of a character that a term may only have inside quotes.
fn invalid_character(c: char) -> Error {
    invalid(format!("Invalid character(s) in term '{c}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    pub(super) fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = FilterPattern::parse(pattern).unwrap();
        for message in matching {
            assert!(pattern.matches(message), "{pattern:?} must match {message}");
        }
        for message in others {
            assert!(!pattern.matches(message), "{pattern:?} must not match {message}");
        }
    }

    #[track_caller]
    pub(super) fn refused(pattern: &str, message: &str) {
        let error = wire::ApiError::from(FilterPattern::parse(pattern).unwrap_err());
        assert_eq!((error.code(), error.message()), ("InvalidParameterException", message), "{pattern}");
    }

    #[test]
    fn an_empty_pattern_matches_everything() {
        check("", &["", "x"], &[]);
        check("  ", &["x"], &[]);
    }
}
