//! Writes shapes as JSON.

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{DateTime, Document, Number};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::schema::TimestampFormat;
use crate::{Member, Shape, Writer};

/// Writes a JSON text.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// Whether a value has been written since the innermost object or array began.
    needs_comma: bool,
}

impl JsonWriter {
    /// Starts an empty text.
    pub fn new() -> Self {
        Self { out: Vec::with_capacity(256), needs_comma: false }
    }

    /// Returns the text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn start(&mut self, opening: u8) {
        self.out.push(opening);
        self.needs_comma = false;
    }

    fn end(&mut self, closing: u8) {
        self.out.push(closing);
        self.needs_comma = true;
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.out.push(b',');
        }
        self.needs_comma = true;
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&text.as_bytes()[plain_from..at]);
            plain_from = at + 1;
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                    self.out.extend_from_slice(b"\\u00");
                    self.out.extend_from_slice(&digits);
                }
            }
        }
        self.out.extend_from_slice(&text.as_bytes()[plain_from..]);
        self.out.push(b'"');
    }

    fn number(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// JSON has no words for what is not finite; AWS writes it as a string.
    fn not_finite(&mut self, value: f64) {
        let word = match value {
            value if value.is_nan() => "NaN",
            value if value > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        self.string(word);
    }
}

impl Writer for JsonWriter {
    fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, value: i64) {
        self.number(itoa::Buffer::new().format(value));
    }

    fn float(&mut self, value: f32) {
        if value.is_finite() {
            self.number(ryu::Buffer::new().format_finite(value));
        } else {
            self.not_finite(f64::from(value));
        }
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.number(ryu::Buffer::new().format_finite(value));
        } else {
            self.not_finite(value);
        }
    }

    fn text(&mut self, value: &str) {
        self.string(value);
    }

    fn blob(&mut self, value: &[u8]) {
        self.out.push(b'"');
        let encoded = STANDARD.encode(value);
        self.out.extend_from_slice(encoded.as_bytes());
        self.out.push(b'"');
    }

    fn timestamp(&mut self, value: &DateTime, shape: &'static Shape) {
        let format = match shape.timestamp {
            TimestampFormat::Protocol | TimestampFormat::EpochSeconds => return self.epoch_seconds(value),
            TimestampFormat::DateTime => Format::DateTime,
            TimestampFormat::HttpDate => Format::HttpDate,
        };
        match value.fmt(format) {
            Ok(text) => self.string(&text),
            Err(_) => self.epoch_seconds(value),
        }
    }

    fn document(&mut self, value: &Document) {
        match value {
            Document::Null => self.out.extend_from_slice(b"null"),
            Document::Bool(value) => self.boolean(*value),
            Document::String(value) => self.string(value),
            Document::Number(Number::PosInt(value)) => self.number(itoa::Buffer::new().format(*value)),
            Document::Number(Number::NegInt(value)) => self.integer(*value),
            Document::Number(Number::Float(value)) => self.double(*value),
            Document::Array(items) => {
                self.start(b'[');
                for item in items {
                    self.comma();
                    self.document(item);
                }
                self.end(b']');
            }
            Document::Object(entries) => {
                let mut entries = entries.iter().collect::<Vec<_>>();
                entries.sort_by_key(|(key, _)| *key);
                self.start(b'{');
                for (key, value) in entries {
                    self.key(key);
                    self.document(value);
                }
                self.end(b'}');
            }
        }
    }

    fn start_structure(&mut self) {
        self.start(b'{');
    }

    fn member(&mut self, member: &'static Member) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(member.name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn end_structure(&mut self) {
        self.end(b'}');
    }

    fn start_list(&mut self, _shape: &'static Shape, _len: usize) {
        self.start(b'[');
    }

    fn item(&mut self) {
        self.comma();
    }

    fn end_list(&mut self) {
        self.end(b']');
    }

    fn start_map(&mut self, _shape: &'static Shape, _len: usize) {
        self.start(b'{');
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.string(key);
        self.out.push(b':');
    }

    fn end_map(&mut self) {
        self.end(b'}');
    }
}

impl JsonWriter {
    /// Writes seconds with up to three digits of fraction, as in `1479926042.853`.
    fn epoch_seconds(&mut self, value: &DateTime) {
        let millis = value.to_millis().unwrap_or(i64::MAX);
        if millis < 0 {
            self.out.push(b'-');
        }
        let millis = millis.unsigned_abs();
        self.number(itoa::Buffer::new().format(millis / 1000));
        let fraction = millis % 1000;
        if fraction != 0 {
            let digits = format!(".{fraction:03}");
            self.number(digits.trim_end_matches('0'));
        }
    }
}
