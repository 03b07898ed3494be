//! Reads JSON straight into shapes: one pass over the bytes, no tree in between.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{Blob, DateTime, Document, Number};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{DecodeError, Reader, Schema, Shape};

/// Deeper inputs are refused; no AWS input comes near it.
const DEPTH_MAX: u32 = 128;

/// Reads a JSON text.
#[derive(Debug)]
pub struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Whether the innermost object or array has had no entry yet.
    is_fresh: bool,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> JsonReader<'a> {
    /// Starts at the beginning of a body. An empty body counts as `{}`.
    pub fn new(body: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::new("the body is not UTF-8"))?;
        let text = if text.trim_ascii().is_empty() { "{}" } else { text };
        Ok(Self { text, at: 0, depth: 0, is_fresh: false })
    }

    /// Checks that nothing follows the value that has been read.
    pub fn finish(mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the body")),
        }
    }

    /// Skips white space and returns the next byte, which stays.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(&format!("'{}'", char::from(wanted))))
    }

    fn unexpected(&self, wanted: &str) -> DecodeError {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        match found {
            Some(found) => DecodeError::new(format!("unexpected {found:?} at byte {}, expected {wanted}", self.at)),
            None => DecodeError::new(format!("unexpected end of the body, expected {wanted}")),
        }
    }

    /// Makes the error of a value that is not of the wanted type, or is no value at all.
    fn wrong_type(&mut self, wanted: &'static str) -> DecodeError {
        let found = match self.peek() {
            Some(b'"') => "STRING_VALUE",
            Some(b'{') => "START_OBJECT",
            Some(b'[') => "START_ARRAY",
            Some(b'-' | b'0'..=b'9') => "NUMBER_VALUE",
            Some(b't') => "TRUE_VALUE",
            Some(b'f') => "FALSE_VALUE",
            Some(b'n') => "NULL_VALUE",
            _ => return self.unexpected("a value"),
        };
        DecodeError::wrong_type(found, wanted)
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected(word))
    }

    fn enter(&mut self, opening: u8, wanted: &'static str) -> Result<()> {
        if self.peek() != Some(opening) {
            return Err(self.wrong_type(wanted));
        }
        if self.depth == DEPTH_MAX {
            return Err(DecodeError::new(format!("the body is nested deeper than {DEPTH_MAX} levels")));
        }
        self.at += 1;
        self.depth += 1;
        self.is_fresh = true;
        Ok(())
    }

    /// Moves to the next entry of the innermost object or array; false at its end, which is left.
    fn advance(&mut self, closing: u8) -> Result<bool> {
        let next = self.peek();
        if next == Some(closing) {
            self.at += 1;
            self.depth -= 1;
            self.is_fresh = false;
            return Ok(false);
        }
        if self.is_fresh {
            self.is_fresh = false;
            return Ok(true);
        }
        if next != Some(b',') {
            return Err(self.unexpected(&format!("',' or '{}'", char::from(closing))));
        }
        self.at += 1;
        if self.peek() == Some(closing) {
            return Err(self.unexpected("another entry after ','"));
        }
        Ok(true)
    }

    /// Moves to the next entry of an object and reads its key and colon.
    fn advance_key(&mut self) -> Result<Option<Cow<'a, str>>> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a member's name"));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Skips a null and tells whether there was one.
    fn skip_null(&mut self) -> Result<bool> {
        let is_null = self.peek() == Some(b'n');
        if is_null {
            self.literal("null")?;
        }
        Ok(is_null)
    }

    fn skip_value(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                self.enter(b'{', "Structure")?;
                while self.advance_key()?.is_some() {
                    self.skip_value()?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.enter(b'[', "List")?;
                while self.advance(b']')? {
                    self.skip_value()?;
                }
                Ok(())
            }
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// Reads a string whose opening quote comes next.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => return self.escaped_string(start, at),
                Some(0..0x20) | None => {
                    self.at = at.min(bytes.len());
                    return Err(self.unexpected("the rest of a string"));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Reads a string that has its first escape at `at`.
    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let mut string = String::with_capacity(at - start + 16);
        let mut plain_from = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    string.push_str(&self.text[plain_from..at]);
                    self.at = at + 1;
                    return Ok(Cow::Owned(string));
                }
                Some(b'\\') => {
                    string.push_str(&self.text[plain_from..at]);
                    self.at = at + 1;
                    string.push(self.escape()?);
                    at = self.at;
                    plain_from = at;
                }
                Some(0..0x20) | None => {
                    self.at = at.min(bytes.len());
                    return Err(self.unexpected("the rest of a string"));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self) -> Result<char> {
        let kind = self.text.as_bytes().get(self.at).copied();
        let char = match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        Ok(char)
    }

    /// Reads four hexadecimal digits, and the second half of a surrogate pair. A lone half becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let before_second = self.at;
        self.at += 2;
        let second = self.hex4()?;
        if (0xdc00..0xe000).contains(&second) {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at = before_second;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.unexpected("four hexadecimal digits")) };
        let code = digits.iter().fold(0, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0));
        self.at += 4;
        Ok(code)
    }

    /// Reads a number as text, and tells whether it is written as a whole number.
    fn number(&mut self) -> Result<(&'a str, bool)> {
        self.peek();
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let has_leading_zero = self.byte() == Some(b'0');
        let whole_digits = self.digits();
        if whole_digits == 0 {
            return Err(self.unexpected("a value"));
        }
        if has_leading_zero && whole_digits > 1 {
            return Err(DecodeError::new(format!("a number at byte {start} begins with a zero")));
        }
        let mut is_whole = true;
        if self.byte() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            is_whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        Ok((&self.text[start..self.at], is_whole))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number_or(&mut self, wanted: &'static str) -> Result<(&'a str, bool)> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong_type(wanted)),
        }
    }

    fn string_or(&mut self, wanted: &'static str) -> Result<Cow<'a, str>> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => Err(self.wrong_type(wanted)),
        }
    }
}

/// Parses a whole number that may be written with a fraction of zero or an exponent.
fn whole(text: &str, is_whole: bool) -> Option<i64> {
    if is_whole {
        return text.parse().ok();
    }
    let number = text.parse::<f64>().ok()?;
    let is_exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    is_exact.then_some(number as i64)
}

impl Reader for JsonReader<'_> {
    fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| false),
            _ => Err(self.wrong_type("Boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64> {
        let (text, is_whole) = self.number_or(kind)?;
        let value = whole(text, is_whole).filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| DecodeError::new(format!("Numeric value ({text}) out of range of {kind}")))
    }

    fn double(&mut self) -> Result<f64> {
        if self.peek() == Some(b'"') {
            return match &*self.string()? {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(DecodeError::wrong_type("STRING_VALUE", "Double")),
            };
        }
        let (text, _) = self.number_or("Double")?;
        text.parse().map_err(|_| DecodeError::wrong_type("NUMBER_VALUE", "Double"))
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        self.string_or("String")
    }

    fn blob(&mut self) -> Result<Blob> {
        let text = self.string_or("Blob")?;
        let bytes = STANDARD.decode(text.as_bytes());
        bytes.map(Blob::new).map_err(|_| DecodeError::new("the value is not base64"))
    }

    fn timestamp(&mut self, _shape: &'static Shape) -> Result<DateTime> {
        if self.peek() == Some(b'"') {
            let text = self.string()?;
            let at = DateTime::from_str(&text, Format::DateTimeWithOffset);
            return at.map_err(|_| DecodeError::wrong_type("STRING_VALUE", "Timestamp"));
        }
        let (text, is_whole) = self.number_or("Timestamp")?;
        let out_of_range = || DecodeError::new(format!("Numeric value ({text}) out of range of Timestamp"));
        if is_whole {
            return text.parse().map(DateTime::from_secs).map_err(|_| out_of_range());
        }
        let seconds = text.parse::<f64>().map_err(|_| out_of_range())?;
        let millis = (seconds * 1000.0).round();
        if millis.abs() > 9_007_199_254_740_992.0 {
            return Err(out_of_range());
        }
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Ok(DateTime::from_millis(millis as i64))
    }

    fn document(&mut self) -> Result<Document> {
        Ok(match self.peek() {
            Some(b'"') => Document::String(self.string()?.into_owned()),
            Some(b't' | b'f') => Document::Bool(self.boolean()?),
            Some(b'n') => self.literal("null").map(|()| Document::Null)?,
            Some(b'[') => {
                self.enter(b'[', "List")?;
                let mut items = Vec::new();
                while self.advance(b']')? {
                    items.push(self.document()?);
                }
                Document::Array(items)
            }
            Some(b'{') => {
                self.enter(b'{', "Map")?;
                let mut entries = HashMap::new();
                while let Some(key) = self.advance_key()? {
                    entries.insert(key.into_owned(), self.document()?);
                }
                Document::Object(entries)
            }
            _ => {
                let (text, is_whole) = self.number()?;
                let whole = is_whole.then(|| (text.parse::<u64>(), text.parse::<i64>()));
                Document::Number(match whole {
                    Some((Ok(positive), _)) => Number::PosInt(positive),
                    Some((_, Ok(negative))) => Number::NegInt(negative),
                    _ => Number::Float(text.parse().map_err(|_| DecodeError::new("a number is out of range"))?),
                })
            }
        })
    }

    fn start_structure(&mut self) -> Result<()> {
        self.enter(b'{', "Structure")
    }

    fn next_member(&mut self, schema: &'static Schema, expected: usize) -> Result<Option<usize>> {
        while let Some(key) = self.advance_key()? {
            match schema.index_of(&key, expected) {
                Some(_) if self.skip_null()? => {}
                Some(index) => return Ok(Some(index)),
                None => self.skip_value()?,
            }
        }
        Ok(None)
    }

    fn start_list(&mut self, _shape: &'static Shape) -> Result<()> {
        self.enter(b'[', "List")
    }

    fn next_item(&mut self) -> Result<bool> {
        while self.advance(b']')? {
            if !self.skip_null()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start_map(&mut self, _shape: &'static Shape) -> Result<()> {
        self.enter(b'{', "Map")
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        while let Some(key) = self.advance_key()? {
            if !self.skip_null()? {
                return Ok(Some(key.into_owned()));
            }
        }
        Ok(None)
    }
}
