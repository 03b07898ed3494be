//! JSON as ECS's agent writes it, and as it reads it: the agent's language has habits of its own.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Writes a value: what HTML could take for its own is escaped.
pub(crate) fn write(value: &impl Serialize) -> String {
    let plain = serde_json::to_string(value).expect("the keys of our maps are texts");
    let mut text = String::with_capacity(plain.len());
    for letter in plain.chars() {
        match letter {
            // They can only be in texts, where an escape means the same.
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            _ => text.push(letter),
        }
    }
    text
}

/// Writes a point in time: RFC 3339, in UTC, with as many digits of the second as it has.
pub(crate) fn time(at: Timestamp) -> String {
    DateTime::from(at).fmt(Format::DateTime).expect("a record's time is within four-digit years")
}

/// A number that has no point if it is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Float(pub(crate) f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Beyond it a number of this type need not be whole to look it.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < WHOLE_MAX {
            #[allow(clippy::cast_possible_truncation, reason = "it is whole and within the range")]
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// There is none.
    Empty,
    /// It is not JSON, or no object; in the agent's words, as far as they are known.
    Malformed(String),
}

/// The members of an object, whatever the case of their names. Nulls count as absent.
#[derive(Debug)]
pub(crate) struct Members {
    /// What the agent calls the type, for its messages.
    of: &'static str,
    members: Vec<(String, Value)>,
}

impl Members {
    /// Reads the first value of a body; what follows it is not looked at.
    pub(crate) fn read(of: &'static str, body: &[u8]) -> Result<Self, ReadError> {
        let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        match values.next() {
            None => Err(ReadError::Empty),
            Some(Ok(Value::Object(members))) => Ok(Self { of, members: members.into_iter().collect() }),
            Some(Ok(Value::Null)) => Ok(Self { of, members: Vec::new() }),
            Some(Ok(other)) => Err(ReadError::Malformed(format!(
                "json: cannot unmarshal {} into Go value of type types.{of}",
                kind(&other)
            ))),
            Some(Err(error)) if error.is_eof() => Err(ReadError::Malformed("unexpected EOF".to_owned())),
            Some(Err(error)) => Err(ReadError::Malformed(syntax(body, &error))),
        }
    }

    /// Returns whether a member is there that is none of these.
    pub(crate) fn has_others(&self, known: &[&str]) -> bool {
        self.members.iter().any(|(name, _)| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// Returns a whole number of at most `max`; `kind` is its type in messages.
    pub(crate) fn number(&self, name: &str, of: &str, max: u64) -> Result<Option<u64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if number <= max => Ok(Some(number)),
            _ if value.is_number() => Err(self.mismatch(&format!("number {value}"), name, of)),
            _ => Err(self.mismatch(kind(value), name, of)),
        }
    }

    /// Returns a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.mismatch(kind(value), name, "string"))?;
        Ok(Some(text.to_owned()))
    }

    /// Returns a list of texts; empty if it is absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.mismatch(kind(value), name, "[]*string"))?;
        let texts = list.iter().map(|text| match text {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(self.mismatch(kind(other), name, "string")),
        });
        texts.collect()
    }

    /// Returns a truth value.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.mismatch(kind(value), name, "bool"))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.members.iter().rfind(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1).filter(|value| !value.is_null())
    }

    fn mismatch(&self, found: &str, name: &str, wanted: &str) -> String {
        format!("json: cannot unmarshal {found} into Go struct field {}.{name} of type {wanted}", self.of)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Words a syntax error: what was expected of the letter is not told apart (unverified).
fn syntax(body: &[u8], error: &serde_json::Error) -> String {
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let letter = line.and_then(|line| line.get(error.column().saturating_sub(1))).copied().map_or(' ', char::from);
    format!("invalid character '{letter}' looking for beginning of value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_safe_in_html_and_whole_numbers_have_no_point() {
        let value = serde_json::json!({ "a": "<b> & \u{2028}" });
        assert_eq!(write(&value), r#"{"a":"\u003cb\u003e \u0026 \u2028"}"#);
        assert_eq!(write(&[Float(1.0), Float(0.25)]), "[1,0.25]");
    }

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        assert_eq!(time(Timestamp::from_millis(1_767_225_600_120)), "2026-01-01T00:00:00.12Z");
        assert_eq!(time(Timestamp::from_millis(1_767_225_600_000)), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn members_are_found_whatever_their_case() {
        let members = Members::read("T", br#"{"port": 80, "PROTOCOL": "tcp", "Off": null, "On": true} rest"#).unwrap();
        assert_eq!(members.number("Port", "uint16", 65_535), Ok(Some(80)));
        assert_eq!(members.text("Protocol"), Ok(Some("tcp".to_owned())));
        assert_eq!((members.flag("Off"), members.flag("On")), (Ok(None), Ok(Some(true))));
        assert!(members.has_others(&["Port", "Protocol"]));
        assert!(!members.has_others(&["Port", "Protocol", "Off", "On"]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let members = Members::read("T", br#"{"Port": 70000, "P": "x", "S": [1], "L": {}}"#).unwrap();
        let expected = "json: cannot unmarshal number 70000 into Go struct field T.Port of type uint16";
        assert_eq!(members.number("Port", "uint16", 65_535), Err(expected.to_owned()));
        let expected = "json: cannot unmarshal string into Go struct field T.P of type uint16";
        assert_eq!(members.number("P", "uint16", 65_535), Err(expected.to_owned()));
        let expected = "json: cannot unmarshal number into Go struct field T.S of type string";
        assert_eq!(members.texts("S"), Err(expected.to_owned()));
        assert!(members.texts("L").unwrap_err().ends_with("object into Go struct field T.L of type []*string"));
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        let error = |body: &str| Members::read("T", body.as_bytes()).unwrap_err();
        assert_eq!(error(""), ReadError::Empty);
        assert_eq!(error(" \n"), ReadError::Empty);
        assert_eq!(error("{"), ReadError::Malformed("unexpected EOF".to_owned()));
        assert!(matches!(error("x"), ReadError::Malformed(text) if text.starts_with("invalid character 'x' looking")));
        assert!(matches!(error("[]"), ReadError::Malformed(text) if text.starts_with("json: cannot unmarshal array")));
    }
}
