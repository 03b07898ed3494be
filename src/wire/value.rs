//! Values that every codec can read and write: the scalars, lists, maps and the generated shapes.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

use aws_smithy_types::{Blob, DateTime, Document};

use crate::check::{Kind, Path, Violation};
use crate::{DecodeError, Reader, Schema, Shape, Writer};

/// A value of a model.
pub trait Value: Debug + Send + Sync {
    /// Replaces the value by the one that the reader stands at.
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError>;
    /// Writes the value.
    fn write(&self, writer: &mut dyn Writer, shape: &'static Shape);
    /// Adds to `found` what the model forbids about the value.
    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>);
    /// Renders the value as AWS's validation messages quote it.
    fn describe(&self) -> String;
}

/// A value that can be made empty, to be filled.
pub trait Empty: Value + Sized {
    /// Makes the value that is about to be filled.
    fn empty() -> Self;
}

/// A place for an optional value: a member of a structure.
pub trait Slot {
    /// Reads a value into the place; an earlier one is lost.
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError>;
    /// Returns the value, if there is one.
    fn get(&self) -> Option<&dyn Value>;
}

impl<T: Empty> Slot for Option<T> {
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError> {
        self.insert(T::empty()).fill(reader, shape)
    }

    fn get(&self) -> Option<&dyn Value> {
        match self {
            Some(value) => Some(value),
            None => None,
        }
    }
}

/// A structure of a model. [`crate::structure!`] implements it.
pub trait Structure: Value {
    /// Returns the table of its members.
    fn schema(&self) -> &'static Schema;
    /// Returns a member.
    ///
    /// # Panics
    /// If the schema has no member of this index.
    fn member(&self, index: usize) -> &dyn Slot;
    /// Returns a member to be filled.
    ///
    /// # Panics
    /// If the schema has no member of this index.
    fn member_mut(&mut self, index: usize) -> &mut dyn Slot;
}

/// Fills the members of a structure from the reader.
pub fn fill_structure(into: &mut dyn Structure, reader: &mut dyn Reader) -> Result<(), DecodeError> {
    let schema = into.schema();
    reader.start_structure()?;
    let mut expected = 0;
    while let Some(index) = reader.next_member(schema, expected)? {
        let member = &schema.members[index];
        into.member_mut(index).fill(reader, member.shape).map_err(|error| error.inside_member(member.name))?;
        expected = index + 1;
    }
    Ok(())
}

/// Writes a structure with the members that have a value.
pub fn write_structure(value: &dyn Structure, writer: &mut dyn Writer) {
    writer.start_structure();
    write_members(value, writer);
    writer.end_structure();
}

/// Writes the members of a structure without its beginning and end.
pub fn write_members(value: &dyn Structure, writer: &mut dyn Writer) {
    for (index, member) in value.schema().members.iter().enumerate() {
        if let Some(value) = value.member(index).get() {
            writer.member(member);
            value.write(writer, member.shape);
        }
    }
}

/// Checks the members of a structure.
pub fn check_structure(value: &dyn Structure, path: &Path<'_>, found: &mut Vec<Violation>) {
    for (index, member) in value.schema().members.iter().enumerate() {
        match value.member(index).get() {
            Some(value) => value.check(member.shape, &path.member(member.name), found),
            None if member.is_required => found.push(path.member(member.name).violation(Kind::Required, None)),
            None => {}
        }
    }
}

/// The name of the shape of a response that there is none of, as Smithy calls it.
pub(crate) const UNIT: &str = "Unit";

/// The response of an operation that has none.
impl Value for () {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        fill_structure(self, reader)
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        write_structure(self, writer);
    }

    fn check(&self, _shape: &'static Shape, _path: &Path<'_>, _found: &mut Vec<Violation>) {}

    fn describe(&self) -> String {
        String::new()
    }
}

impl Empty for () {
    fn empty() -> Self {}
}

impl Structure for () {
    fn schema(&self) -> &'static Schema {
        static SCHEMA: Schema = Schema { name: UNIT, root: None, members: &[] };
        &SCHEMA
    }

    fn member(&self, index: usize) -> &dyn Slot {
        no_member(self.schema(), index)
    }

    fn member_mut(&mut self, index: usize) -> &mut dyn Slot {
        no_member(self.schema(), index)
    }
}

/// Stops at an index that a schema does not have.
///
/// # Panics
/// Always: indexes come from the schema itself.
pub fn no_member(schema: &Schema, index: usize) -> ! {
    panic!("{} has no member {index}", schema.name)
}

fn check_length(length: usize, shape: &'static Shape, path: &Path<'_>, value: &dyn Value, found: &mut Vec<Violation>) {
    let actual = u64::try_from(length).unwrap_or(u64::MAX);
    if let Some((min, max)) = shape.length
        && !(min..=max).contains(&actual)
    {
        found.push(path.violation(Kind::Length { min, max, actual }, Some(value)));
    }
}

macro_rules! integer {
    ($type:ty, $kind:literal) => {
        impl Value for $type {
            fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
                let value = reader.integer(i64::from(<$type>::MIN), i64::from(<$type>::MAX), $kind)?;
                *self = <$type>::try_from(value).expect("the reader keeps to the bounds");
                Ok(())
            }

            fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
                writer.integer(i64::from(*self));
            }

            fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
                if let Some((min, max)) = shape.range
                    && !(min..=max).contains(&i64::from(*self))
                {
                    found.push(path.violation(Kind::Range { min, max }, Some(self)));
                }
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl Empty for $type {
            fn empty() -> Self {
                0
            }
        }
    };
}

integer!(i32, "Integer");
integer!(i64, "Long");

macro_rules! floating {
    ($type:ty, $write:ident, $narrow:expr) => {
        impl Value for $type {
            fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
                *self = $narrow(reader.double()?);
                Ok(())
            }

            fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
                writer.$write(*self);
            }

            fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
                if let Some((min, max)) = shape.range
                    && !(min as f64..=max as f64).contains(&f64::from(*self))
                {
                    found.push(path.violation(Kind::Range { min, max }, Some(self)));
                }
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl Empty for $type {
            fn empty() -> Self {
                0.0
            }
        }
    };
}

#[allow(clippy::cast_possible_truncation, reason = "the model asks for single precision")]
fn single(value: f64) -> f32 {
    value as f32
}

floating!(f32, float, single);
floating!(f64, double, std::convert::identity);

impl Value for bool {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.boolean()?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        writer.boolean(*self);
    }

    fn check(&self, _shape: &'static Shape, _path: &Path<'_>, _found: &mut Vec<Violation>) {}

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Empty for bool {
    fn empty() -> Self {
        false
    }
}

impl Value for String {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.text()?.into_owned();
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        writer.text(self);
    }

    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
        check_text(self, shape, path, found);
    }

    fn describe(&self) -> String {
        self.clone()
    }
}

impl Empty for String {
    fn empty() -> Self {
        Self::new()
    }
}

fn check_text(text: &String, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
    if shape.length.is_some() {
        check_length(text.chars().count(), shape, path, text, found);
    }
    if let Some(pattern) = shape.pattern
        && !pattern.matches(text)
    {
        found.push(path.violation(Kind::Pattern { pattern: pattern.text }, Some(text)));
    }
}

impl Value for DateTime {
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.timestamp(shape)?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, shape: &'static Shape) {
        writer.timestamp(self, shape);
    }

    fn check(&self, _shape: &'static Shape, _path: &Path<'_>, _found: &mut Vec<Violation>) {}

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Empty for DateTime {
    fn empty() -> Self {
        Self::from_secs(0)
    }
}

impl Value for Blob {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.blob()?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        writer.blob(self.as_ref());
    }

    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
        check_length(self.as_ref().len(), shape, path, self, found);
    }

    fn describe(&self) -> String {
        format!("{} bytes", self.as_ref().len())
    }
}

impl Empty for Blob {
    fn empty() -> Self {
        Self::new(Vec::new())
    }
}

impl Value for Document {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.document()?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        writer.document(self);
    }

    fn check(&self, _shape: &'static Shape, _path: &Path<'_>, _found: &mut Vec<Violation>) {}

    fn describe(&self) -> String {
        "document".to_owned()
    }
}

impl Empty for Document {
    fn empty() -> Self {
        Self::Null
    }
}

impl<T: Empty> Value for Vec<T> {
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError> {
        self.clear();
        reader.start_list(shape)?;
        while reader.next_item()? {
            let mut item = T::empty();
            item.fill(reader, shape.item_shape()).map_err(|error| error.inside_item(self.len()))?;
            self.push(item);
        }
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, shape: &'static Shape) {
        writer.start_list(shape, self.len());
        for item in self {
            writer.item();
            item.write(writer, shape.item_shape());
        }
        writer.end_list();
    }

    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
        check_length(self.len(), shape, path, self, found);
        for (index, item) in self.iter().enumerate() {
            item.check(shape.item_shape(), &path.item(index), found);
        }
    }

    fn describe(&self) -> String {
        format!("[{}]", self.iter().map(Value::describe).collect::<Vec<_>>().join(", "))
    }
}

impl<T: Empty> Empty for Vec<T> {
    fn empty() -> Self {
        Self::new()
    }
}

impl<T: Empty> Value for BTreeMap<String, T> {
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError> {
        self.clear();
        reader.start_map(shape)?;
        while let Some(key) = reader.next_key()? {
            let mut value = T::empty();
            value.fill(reader, shape.item_shape()).map_err(|error| error.inside_member(&key))?;
            self.insert(key, value);
        }
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, shape: &'static Shape) {
        writer.start_map(shape, self.len());
        for (key, value) in self {
            writer.key(key);
            value.write(writer, shape.item_shape());
        }
        writer.end_map();
    }

    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
        check_length(self.len(), shape, path, self, found);
        for (key, value) in self {
            check_text(key, shape.key_shape(), &path.member(key), found);
            value.check(shape.item_shape(), &path.member(key), found);
        }
    }

    fn describe(&self) -> String {
        let mut text = String::from("{");
        for (index, (key, value)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(text, "{separator}{key}={}", value.describe()).expect("a string takes what is written to it");
        }
        text + "}"
    }
}

impl<T: Empty> Empty for BTreeMap<String, T> {
    fn empty() -> Self {
        Self::new()
    }
}

/// Boxed values break the cycles of recursive shapes.
impl<T: Empty> Value for Box<T> {
    fn fill(&mut self, reader: &mut dyn Reader, shape: &'static Shape) -> Result<(), DecodeError> {
        (**self).fill(reader, shape)
    }

    fn write(&self, writer: &mut dyn Writer, shape: &'static Shape) {
        (**self).write(writer, shape);
    }

    fn check(&self, shape: &'static Shape, path: &Path<'_>, found: &mut Vec<Violation>) {
        (**self).check(shape, path, found);
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

impl<T: Empty> Empty for Box<T> {
    fn empty() -> Self {
        Self::new(T::empty())
    }
}
