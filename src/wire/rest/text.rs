//! Members in paths, queries and headers: texts, read and written.

use std::borrow::Cow;

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{Blob, DateTime, Document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::schema::TimestampFormat;
use crate::{DecodeError, Member, Reader, Schema, Shape, Writer};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads one member of texts: a scalar of the first one, a list of all, a map of all with their names.
#[derive(Debug)]
pub(crate) struct TextReader {
    /// Names, for maps, and values.
    texts: Vec<(String, String)>,
    at: usize,
    place: Place,
}

/// Where texts stand; it decides how lists and timestamps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the path or the query.
    Uri,
    /// In headers: a list is one text with commas, a timestamp is HTTP's.
    Header,
}

impl TextReader {
    /// Reads texts.
    pub(crate) fn new(texts: Vec<(String, String)>, place: Place) -> Self {
        Self { texts, at: 0, place }
    }

    fn current(&self) -> &str {
        self.texts.get(self.at).map_or("", |(_, value)| value)
    }

    fn not_a(&self, wanted: &'static str) -> DecodeError {
        DecodeError::new(format!("'{}' is not a valid {wanted}", self.current()))
    }

    fn no_structure<T>(&self) -> Result<T> {
        Err(DecodeError::wrong_type("a text", "Structure"))
    }
}

impl Reader for TextReader {
    fn boolean(&mut self) -> Result<bool> {
        match self.current() {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.not_a("boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64> {
        let value = self.current().trim().parse().ok().filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| self.not_a(kind))
    }

    fn double(&mut self) -> Result<f64> {
        self.current().trim().parse().map_err(|_| self.not_a("number"))
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        Ok(Cow::Borrowed(self.current()))
    }

    fn blob(&mut self) -> Result<Blob> {
        STANDARD.decode(self.current()).map(Blob::new).map_err(|_| self.not_a("base 64 text"))
    }

    fn timestamp(&mut self, shape: &'static Shape) -> Result<DateTime> {
        let format = match (shape.timestamp, self.place) {
            (TimestampFormat::EpochSeconds, _) => Format::EpochSeconds,
            (TimestampFormat::DateTime, _) | (TimestampFormat::Protocol, Place::Uri) => Format::DateTimeWithOffset,
            (TimestampFormat::HttpDate, _) | (TimestampFormat::Protocol, Place::Header) => Format::HttpDate,
        };
        DateTime::from_str(self.current().trim(), format).map_err(|_| self.not_a("timestamp"))
    }

    fn document(&mut self) -> Result<Document> {
        Ok(Document::String(self.current().to_owned()))
    }

    fn start_structure(&mut self) -> Result<()> {
        self.no_structure()
    }

    fn next_member(&mut self, _schema: &'static Schema, _expected: usize) -> Result<Option<usize>> {
        self.no_structure()
    }

    fn start_list(&mut self, _shape: &'static Shape) -> Result<()> {
        if self.place == Place::Header {
            let items = self.texts.iter().flat_map(|(_, value)| value.split(','));
            let items = items.map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty());
            self.texts = items.map(|item| (String::new(), item.to_owned())).collect();
        }
        self.at = usize::MAX;
        Ok(())
    }

    fn next_item(&mut self) -> Result<bool> {
        self.at = self.at.wrapping_add(1);
        Ok(self.at < self.texts.len())
    }

    fn start_map(&mut self, _shape: &'static Shape) -> Result<()> {
        self.at = usize::MAX;
        Ok(())
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        let is_more = self.next_item()?;
        Ok(is_more.then(|| self.texts[self.at].0.clone()))
    }
}

/// Writes one member as texts: one of a scalar, several of a list or map.
#[derive(Debug, Default)]
pub(crate) struct TextWriter {
    key: String,
    pub(crate) texts: Vec<(String, String)>,
}

impl TextWriter {
    fn put(&mut self, value: String) {
        self.texts.push((std::mem::take(&mut self.key), value));
    }
}

impl Writer for TextWriter {
    fn boolean(&mut self, value: bool) {
        self.put(value.to_string());
    }

    fn integer(&mut self, value: i64) {
        self.put(value.to_string());
    }

    fn float(&mut self, value: f32) {
        self.put(value.to_string());
    }

    fn double(&mut self, value: f64) {
        self.put(value.to_string());
    }

    fn text(&mut self, value: &str) {
        self.put(value.to_owned());
    }

    fn blob(&mut self, value: &[u8]) {
        self.put(STANDARD.encode(value));
    }

    fn timestamp(&mut self, value: &DateTime, shape: &'static Shape) {
        let format = match shape.timestamp {
            TimestampFormat::Protocol | TimestampFormat::HttpDate => Format::HttpDate,
            TimestampFormat::DateTime => Format::DateTime,
            TimestampFormat::EpochSeconds => Format::EpochSeconds,
        };
        // HTTP's dates have whole seconds.
        let value = if format == Format::HttpDate { DateTime::from_secs(value.secs()) } else { *value };
        self.put(value.fmt(format).unwrap_or_default());
    }

    fn document(&mut self, value: &Document) {
        self.put(value.as_string().unwrap_or_default().to_owned());
    }

    fn start_structure(&mut self) {}
    fn member(&mut self, _member: &'static Member) {}
    fn end_structure(&mut self) {}
    fn start_list(&mut self, _shape: &'static Shape, _len: usize) {}
    fn item(&mut self) {}
    fn end_list(&mut self) {}
    fn start_map(&mut self, _shape: &'static Shape, _len: usize) {}

    fn key(&mut self, key: &str) {
        self.key = key.to_owned();
    }

    fn end_map(&mut self) {}
}
