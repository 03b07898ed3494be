//! Shapes as JSON documents: how parts of requests that are shown again are kept.

use state::Document;
use wire::{JsonReader, JsonWriter, Shape, Structure, Value};

/// Writes a value as it would stand in a response.
pub(crate) fn write(value: &dyn Value) -> Document {
    let mut writer = JsonWriter::new();
    value.write(&mut writer, &Shape::PLAIN);
    Document::new(String::from_utf8(writer.into_bytes()).expect("JSON is written as UTF-8"))
}

/// Writes a value as JSON that can be looked into.
pub(crate) fn json(value: &dyn Value) -> serde_json::Value {
    serde_json::from_str(write(value).as_str()).expect("what was written as JSON is JSON")
}

/// Reads a structure back that [`write`] wrote.
pub(crate) fn read<T: Structure + Default>(document: &Document) -> T {
    let mut value = T::default();
    let read = JsonReader::new(document.as_str().as_bytes())
        .and_then(|mut reader| wire::value::fill_structure(&mut value, &mut reader));
    read.expect("a document is read by the shape that wrote it");
    value
}
