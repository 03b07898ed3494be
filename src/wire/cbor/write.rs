//! Writes shapes as CBOR.

use std::convert::Infallible;

use aws_smithy_types::{DateTime, Document};
use minicbor::Encoder;
use minicbor::data::Tag;
use minicbor::encode::Error;

use super::EPOCH_TAG;
use crate::{Member, Shape, Writer};

/// Writes a CBOR item. Structures are written as maps of unknown length, as AWS does.
#[derive(Debug)]
pub struct CborWriter(Encoder<Vec<u8>>);

impl CborWriter {
    /// Starts an empty body.
    pub fn new() -> Self {
        Self(Encoder::new(Vec::with_capacity(256)))
    }

    /// Returns the body.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

impl Default for CborWriter {
    fn default() -> Self {
        Self::new()
    }
}

fn done<T>(written: Result<T, Error<Infallible>>) {
    assert!(written.is_ok(), "a vector takes every byte");
}

impl Writer for CborWriter {
    fn boolean(&mut self, value: bool) {
        done(self.0.bool(value));
    }

    fn integer(&mut self, value: i64) {
        done(self.0.i64(value));
    }

    fn float(&mut self, value: f32) {
        done(self.0.f32(value));
    }

    fn double(&mut self, value: f64) {
        done(self.0.f64(value));
    }

    fn text(&mut self, value: &str) {
        done(self.0.str(value));
    }

    fn blob(&mut self, value: &[u8]) {
        done(self.0.bytes(value));
    }

    /// The protocol has one form of timestamps, whatever the model says.
    fn timestamp(&mut self, value: &DateTime, _shape: &'static Shape) {
        done(self.0.tag(Tag::new(EPOCH_TAG)));
        if value.subsec_nanos() == 0 { self.integer(value.secs()) } else { self.double(value.as_secs_f64()) }
    }

    /// The protocol has no documents; none of its services has a member of that type.
    fn document(&mut self, _value: &Document) {
        done(self.0.null());
    }

    fn start_structure(&mut self) {
        done(self.0.begin_map());
    }

    fn member(&mut self, member: &'static Member) {
        done(self.0.str(member.name));
    }

    fn end_structure(&mut self) {
        done(self.0.end());
    }

    fn start_list(&mut self, _shape: &'static Shape, len: usize) {
        done(self.0.array(len as u64));
    }

    fn item(&mut self) {}

    fn end_list(&mut self) {}

    fn start_map(&mut self, _shape: &'static Shape, len: usize) {
        done(self.0.map(len as u64));
    }

    fn key(&mut self, key: &str) {
        done(self.0.str(key));
    }

    fn end_map(&mut self) {}
}
