//! Reads CBOR straight into shapes: one pass over the bytes, no tree in between.

use std::borrow::Cow;

use aws_smithy_types::{Blob, DateTime, Document};
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

use super::EPOCH_TAG;
use crate::{DecodeError, Reader, Schema, Shape};

/// Deeper inputs are refused; no AWS input comes near it.
const DEPTH_MAX: usize = 128;
/// An empty body counts as an empty map.
const EMPTY_MAP: &[u8] = &[0xa0];
/// The greatest whole number below which every whole number is a `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads a CBOR item.
#[derive(Debug)]
pub struct CborReader<'a> {
    decoder: Decoder<'a>,
    /// How many entries each open collection still has; none where only its end tells.
    left: Vec<Option<u64>>,
}

/// A number as it is written.
enum Number {
    Whole(i128),
    Float(f64),
}

impl<'a> CborReader<'a> {
    /// Starts at the beginning of a body.
    pub fn new(body: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(if body.is_empty() { EMPTY_MAP } else { body }), left: Vec::new() }
    }

    /// Checks that nothing follows the item that has been read.
    pub fn finish(self) -> Result<()> {
        if self.decoder.position() == self.decoder.input().len() {
            return Ok(());
        }
        Err(DecodeError::new("unexpected bytes after the end of the body"))
    }

    fn kind(&self) -> Result<Type> {
        self.decoder.datatype().map_err(malformed)
    }

    fn wrong_type(&self, wanted: &'static str) -> DecodeError {
        let found = match self.kind() {
            Ok(Type::String | Type::StringIndef) => "STRING_VALUE",
            Ok(Type::Map | Type::MapIndef) => "START_OBJECT",
            Ok(Type::Array | Type::ArrayIndef) => "START_ARRAY",
            Ok(Type::Bytes | Type::BytesIndef) => "BINARY_VALUE",
            Ok(Type::Bool) => "BOOLEAN_VALUE",
            Ok(Type::Null | Type::Undefined) => "NULL_VALUE",
            Ok(_) => "NUMBER_VALUE",
            Err(error) => return error,
        };
        DecodeError::wrong_type(found, wanted)
    }

    fn enter(&mut self, left: Option<u64>) -> Result<()> {
        if self.left.len() == DEPTH_MAX {
            return Err(DecodeError::new(format!("the body is nested deeper than {DEPTH_MAX} levels")));
        }
        self.left.push(left);
        Ok(())
    }

    fn enter_map(&mut self, wanted: &'static str) -> Result<()> {
        match self.kind()? {
            Type::Map | Type::MapIndef => {
                let left = self.decoder.map().map_err(malformed)?;
                self.enter(left)
            }
            _ => Err(self.wrong_type(wanted)),
        }
    }

    /// Moves to the next entry of the innermost collection; false at its end, which is left.
    fn advance(&mut self) -> Result<bool> {
        let has_more = match self.left.last_mut() {
            Some(Some(left)) => {
                let has_more = *left > 0;
                *left = left.saturating_sub(1);
                has_more
            }
            Some(None) => {
                let has_more = self.kind()? != Type::Break;
                if !has_more {
                    self.decoder.set_position(self.decoder.position() + 1);
                }
                has_more
            }
            None => return Ok(false),
        };
        if !has_more {
            self.left.pop();
        }
        Ok(has_more)
    }

    /// Skips a null and tells whether there was one.
    fn skip_null(&mut self) -> Result<bool> {
        let is_null = matches!(self.kind()?, Type::Null | Type::Undefined);
        if is_null {
            self.skip()?;
        }
        Ok(is_null)
    }

    fn skip(&mut self) -> Result<()> {
        self.decoder.skip().map_err(malformed)
    }

    fn string(&mut self, wanted: &'static str) -> Result<Cow<'a, str>> {
        match self.kind()? {
            Type::String => self.decoder.str().map(Cow::Borrowed).map_err(malformed),
            Type::StringIndef => {
                let pieces = self.decoder.str_iter().map_err(malformed)?;
                pieces.collect::<std::result::Result<String, _>>().map(Cow::Owned).map_err(malformed)
            }
            _ => Err(self.wrong_type(wanted)),
        }
    }

    fn number(&mut self, wanted: &'static str) -> Result<Number> {
        match self.kind()? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                self.decoder.int().map(|whole| Number::Whole(i128::from(whole))).map_err(malformed)
            }
            Type::F16 | Type::F32 | Type::F64 => self.decoder.f64().map(Number::Float).map_err(malformed),
            _ => Err(self.wrong_type(wanted)),
        }
    }
}

impl Number {
    /// Returns the whole number that is meant; clients of languages with one type of number may write `5.0`.
    fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(whole) => i64::try_from(*whole).ok(),
            Self::Float(number) => {
                let is_exact = number.fract() == 0.0 && number.abs() <= WHOLE_MAX;
                #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
                is_exact.then_some(*number as i64)
            }
        }
    }
}

fn malformed(error: Error) -> DecodeError {
    DecodeError::new(format!("the body is not CBOR: {error}"))
}

impl Reader for CborReader<'_> {
    fn boolean(&mut self) -> Result<bool> {
        match self.kind()? {
            Type::Bool => self.decoder.bool().map_err(malformed),
            _ => Err(self.wrong_type("Boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64> {
        let whole = self.number(kind)?.whole().filter(|whole| (min..=max).contains(whole));
        whole.ok_or_else(|| DecodeError::new(format!("Numeric value out of range of {kind}")))
    }

    fn double(&mut self) -> Result<f64> {
        Ok(match self.number("Double")? {
            Number::Whole(whole) => whole as f64,
            Number::Float(number) => number,
        })
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        self.string("String")
    }

    fn blob(&mut self) -> Result<Blob> {
        match self.kind()? {
            Type::Bytes => self.decoder.bytes().map(|bytes| Blob::new(bytes.to_vec())).map_err(malformed),
            Type::BytesIndef => {
                let pieces = self.decoder.bytes_iter().map_err(malformed)?;
                let pieces = pieces.collect::<std::result::Result<Vec<_>, _>>().map_err(malformed)?;
                Ok(Blob::new(pieces.concat()))
            }
            _ => Err(self.wrong_type("Blob")),
        }
    }

    fn timestamp(&mut self, _shape: &'static Shape) -> Result<DateTime> {
        if self.kind()? == Type::Tag {
            let tag = self.decoder.tag().map_err(malformed)?;
            if tag.as_u64() != EPOCH_TAG {
                return Err(DecodeError::new(format!("the tag {} is not that of a Timestamp", tag.as_u64())));
            }
        }
        let out_of_range = || DecodeError::new("Numeric value out of range of Timestamp");
        match self.number("Timestamp")? {
            Number::Whole(seconds) => i64::try_from(seconds).map(DateTime::from_secs).map_err(|_| out_of_range()),
            Number::Float(seconds) => {
                let millis = Number::Float((seconds * 1000.0).round()).whole();
                millis.map(DateTime::from_millis).ok_or_else(out_of_range)
            }
        }
    }

    fn document(&mut self) -> Result<Document> {
        Err(DecodeError::new("this protocol has no documents"))
    }

    fn start_structure(&mut self) -> Result<()> {
        self.enter_map("Structure")
    }

    fn next_member(&mut self, schema: &'static Schema, expected: usize) -> Result<Option<usize>> {
        while self.advance()? {
            let name = self.string("String")?;
            match schema.index_of(&name, expected) {
                Some(_) if self.skip_null()? => {}
                Some(index) => return Ok(Some(index)),
                None => self.skip()?,
            }
        }
        Ok(None)
    }

    fn start_list(&mut self, _shape: &'static Shape) -> Result<()> {
        match self.kind()? {
            Type::Array | Type::ArrayIndef => {
                let left = self.decoder.array().map_err(malformed)?;
                self.enter(left)
            }
            _ => Err(self.wrong_type("List")),
        }
    }

    fn next_item(&mut self) -> Result<bool> {
        while self.advance()? {
            if !self.skip_null()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start_map(&mut self, _shape: &'static Shape) -> Result<()> {
        self.enter_map("Map")
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        while self.advance()? {
            let key = self.string("String")?.into_owned();
            if !self.skip_null()? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}
