//! Shapes as JSON documents: how parts of requests are kept that are only echoed.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::json::{JsonReader, JsonWriter};
use crate::schema::Shape;
use crate::value::{Structure, Value, fill_structure};

/// Writes a value as it would stand in a response.
pub fn write<D: From<String>>(value: &dyn Value) -> D {
    let mut writer = JsonWriter::new();
    value.write(&mut writer, &Shape::PLAIN);
    String::from_utf8(writer.into_bytes()).expect("JSON is written as UTF-8").into()
}

/// Reads a structure back that [`write`] wrote.
///
/// # Panics
///
/// If another shape wrote it.
pub fn read<T: Structure + Default>(document: &impl AsRef<str>) -> T {
    let mut value = T::default();
    let read =
        JsonReader::new(document.as_ref().as_bytes()).and_then(|mut reader| fill_structure(&mut value, &mut reader));
    read.expect("a document is read by the shape that wrote it");
    value
}

/// Reads a list back that [`write`] wrote.
///
/// # Panics
///
/// If another shape wrote it.
pub fn read_list<T>(document: &impl AsRef<str>) -> Vec<T>
where
    Vec<T>: Value,
{
    let mut list = Vec::new();
    let read = JsonReader::new(document.as_ref().as_bytes())
        .and_then(|mut reader| Value::fill(&mut list, &mut reader, &Shape::PLAIN));
    read.expect("a document is read by the shape that wrote it");
    list
}

/// Returns a number that two requests share if they say the same: it tells one from another that bears the same client token.
pub fn digest(request: &dyn Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    write::<String>(request).hash(&mut hasher);
    hasher.finish()
}
