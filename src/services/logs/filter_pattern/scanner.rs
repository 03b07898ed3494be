//! Reads a pattern from its beginning to its end.

use regex_lite::Regex;

use super::malformed;
use crate::Result;

/// What is left of a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `token` if it is next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes spaces, and then `token` if it is next.
    pub(super) fn eat_spaced(&mut self, token: &str) -> bool {
        self.skip_spaces();
        self.eat(token)
    }

    /// Takes `token`, which must be next after spaces.
    pub(super) fn expect(&mut self, token: &str) -> Result<()> {
        if self.eat_spaced(token) { Ok(()) } else { Err(malformed()) }
    }

    /// Takes characters as long as they are wanted.
    pub(super) fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes what stands between the quote that is next and its like. A backslash keeps the quote, or itself.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, next)) if next == quote || next == '\\' => text.push(next),
                    Some((_, next)) => text.extend(['\\', next]),
                    None => return Err(malformed()),
                },
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(malformed())
    }

    /// Takes the regular expression between the `%` that is next and the one after.
    pub(super) fn regex(&mut self) -> Result<Regex> {
        let rest = self.rest.strip_prefix('%').ok_or_else(malformed)?;
        let (pattern, rest) = rest.split_once('%').ok_or_else(malformed)?;
        self.rest = rest;
        Regex::new(pattern).map_err(|_| malformed())
    }
}
