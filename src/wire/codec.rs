//! The seam between shapes and protocols: what a codec can read and write.

use std::borrow::Cow;

use aws_smithy_types::{Blob, DateTime, Document};

use crate::{Content, DecodeError, Member, Schema, Shape};

/// Reads values of one protocol. Values are pulled in the order of the input: after `start_structure` comes
/// `next_member` until it returns none, and each returned member's value must be read before the next call.
pub trait Reader {
    /// Reads a boolean.
    fn boolean(&mut self) -> Result<bool, DecodeError>;
    /// Reads a whole number within bounds; `kind` names the type in errors, as in `Integer`.
    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64, DecodeError>;
    /// Reads a floating-point number.
    fn double(&mut self) -> Result<f64, DecodeError>;
    /// Reads a string, borrowed where the input holds it as it is.
    fn text(&mut self) -> Result<Cow<'_, str>, DecodeError>;
    /// Reads bytes.
    fn blob(&mut self) -> Result<Blob, DecodeError>;
    /// Reads a point in time.
    fn timestamp(&mut self, shape: &'static Shape) -> Result<DateTime, DecodeError>;
    /// Reads a value of any form.
    fn document(&mut self) -> Result<Document, DecodeError>;
    /// Takes the body of a request that is streamed; only REST protocols have such.
    fn content(&mut self) -> Result<Content, DecodeError> {
        Err(DecodeError::new("this protocol streams no bodies"))
    }

    /// Enters a structure.
    fn start_structure(&mut self) -> Result<(), DecodeError>;
    /// Moves to the next known member that has a value and returns its index; leaves the structure at its end.
    /// Unknown members and nulls are skipped. `expected` is the index that would come next in the model's order.
    fn next_member(&mut self, schema: &'static Schema, expected: usize) -> Result<Option<usize>, DecodeError>;
    /// Enters a list.
    fn start_list(&mut self, shape: &'static Shape) -> Result<(), DecodeError>;
    /// Moves to the next item; leaves the list at its end.
    fn next_item(&mut self) -> Result<bool, DecodeError>;
    /// Enters a map.
    fn start_map(&mut self, shape: &'static Shape) -> Result<(), DecodeError>;
    /// Moves to the next entry and returns its key; leaves the map at its end.
    fn next_key(&mut self) -> Result<Option<String>, DecodeError>;
}

/// Writes values of one protocol. A collection's start is followed by `member`, `item` or `key` before each value, and
/// by the matching end.
pub trait Writer {
    /// Writes a boolean.
    fn boolean(&mut self, value: bool);
    /// Writes a whole number.
    fn integer(&mut self, value: i64);
    /// Writes a number of single precision.
    fn float(&mut self, value: f32);
    /// Writes a number of double precision.
    fn double(&mut self, value: f64);
    /// Writes a string.
    fn text(&mut self, value: &str);
    /// Writes bytes.
    fn blob(&mut self, value: &[u8]);
    /// Writes a point in time.
    fn timestamp(&mut self, value: &DateTime, shape: &'static Shape);
    /// Writes a value of any form.
    fn document(&mut self, value: &Document);
    /// Writes a body that is streamed; only REST protocols have such, and they do not write it into a document.
    fn content(&mut self, _value: &Content) {}

    /// Begins a structure.
    fn start_structure(&mut self);
    /// Says which member the next value is.
    fn member(&mut self, member: &'static Member);
    /// Ends a structure.
    fn end_structure(&mut self);
    /// Begins a list of `len` items.
    fn start_list(&mut self, shape: &'static Shape, len: usize);
    /// Announces the next item.
    fn item(&mut self);
    /// Ends a list.
    fn end_list(&mut self);
    /// Begins a map of `len` entries.
    fn start_map(&mut self, shape: &'static Shape, len: usize);
    /// Writes the key of the next value.
    fn key(&mut self, key: &str);
    /// Ends a map.
    fn end_map(&mut self);
}
