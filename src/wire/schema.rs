//! What the generated tables say about a shape: its names in each protocol and its constraints.

use crate::Pattern;

/// A structure of a model: its members in the model's order.
#[derive(Debug)]
pub struct Schema {
    /// The name of the shape.
    pub name: &'static str,
    /// The root element of a REST-XML document; none for the shape's own name. Empty where the one member that is no
    /// header is the root itself.
    pub root: Option<&'static str>,
    /// The members; a member's position here is its index everywhere.
    pub members: &'static [Member],
}

impl Schema {
    /// Returns the name of the root element of a REST-XML document.
    pub fn root_name(&self) -> &'static str {
        self.root.unwrap_or(self.name)
    }

    /// Finds the member of a wire name. Members mostly arrive in the model's order, so `expected` is tried first.
    pub fn index_of(&self, name: &str, expected: usize) -> Option<usize> {
        match self.members.get(expected) {
            Some(member) if member.name == name => Some(expected),
            _ => self.members.iter().position(|member| member.name == name),
        }
    }
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The name in JSON, CBOR and XML.
    pub name: &'static str,
    /// The name in the forms of the query and EC2 protocols.
    pub query: &'static str,
    /// Whether a request must have it.
    pub is_required: bool,
    /// What the model says about the value.
    pub shape: &'static Shape,
    /// Where REST protocols put it; the others put everything into the body.
    pub location: Location,
}

/// Where REST protocols put a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the document that the body is.
    Body,
    /// It is the document that the body is.
    Payload,
    /// It is the body as it is: a text or bytes.
    Raw,
    /// In the path, where the template has a label of its name.
    Uri,
    /// In the query, under its name; a map is every parameter that has no place of its own.
    Query,
    /// In the header of its name.
    Header,
    /// In all headers whose names begin with its name.
    Headers,
    /// It is the status of the response.
    Status,
}

impl Member {
    /// Makes an optional, unconstrained member that has one name everywhere.
    pub const fn new(name: &'static str) -> Self {
        Self { name, query: name, is_required: false, shape: &Shape::PLAIN, location: Location::Body }
    }

    /// Gives it another name in forms.
    #[must_use]
    pub const fn query(mut self, name: &'static str) -> Self {
        self.query = name;
        self
    }

    /// Makes it required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Says where REST protocols put it.
    #[must_use]
    pub const fn at(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Says what its value must be.
    #[must_use]
    pub const fn shape(mut self, shape: &'static Shape) -> Self {
        self.shape = shape;
        self
    }
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// As the protocol does by default: epoch seconds in JSON, ISO 8601 in XML and forms.
    Protocol,
    /// Seconds since the epoch.
    EpochSeconds,
    /// `2026-11-20T10:00:00Z`.
    DateTime,
    /// `Fri, 20 Nov 2026 10:00:00 GMT`.
    HttpDate,
}

/// What a model says about values that are not structures: constraints, and the names of a collection's parts.
#[derive(Debug)]
pub struct Shape {
    /// Bounds of the length: characters of a string, bytes of a blob, items of a list or map.
    pub length: Option<(u64, u64)>,
    /// Bounds of a number.
    pub range: Option<(i64, i64)>,
    /// The pattern that a string must match as a whole.
    pub pattern: Option<&'static Pattern>,
    /// The items of a list, the values of a map.
    pub item: Option<&'static Shape>,
    /// The keys of a map.
    pub key: Option<&'static Shape>,
    /// The element name of a list's items in XML and forms.
    pub item_name: &'static str,
    /// The element name of a map's keys in XML and forms.
    pub key_name: &'static str,
    /// The element name of a map's values in XML and forms.
    pub value_name: &'static str,
    /// Whether XML and forms repeat the collection's own name instead of nesting the items.
    pub is_flattened: bool,
    /// How timestamps are written.
    pub timestamp: TimestampFormat,
}

impl Shape {
    /// A shape without constraints, with the default names.
    pub const PLAIN: Self = Self {
        length: None,
        range: None,
        pattern: None,
        item: None,
        key: None,
        item_name: "member",
        key_name: "key",
        value_name: "value",
        is_flattened: false,
        timestamp: TimestampFormat::Protocol,
    };

    /// A timestamp of epoch seconds.
    pub const EPOCH_SECONDS: Self = Self::PLAIN.timestamp(TimestampFormat::EpochSeconds);
    /// A timestamp of ISO 8601.
    pub const DATE_TIME: Self = Self::PLAIN.timestamp(TimestampFormat::DateTime);
    /// A timestamp of HTTP.
    pub const HTTP_DATE: Self = Self::PLAIN.timestamp(TimestampFormat::HttpDate);

    /// Bounds the length.
    #[must_use]
    pub const fn length(mut self, min: u64, max: u64) -> Self {
        self.length = Some((min, max));
        self
    }

    /// Bounds the number.
    #[must_use]
    pub const fn range(mut self, min: i64, max: i64) -> Self {
        self.range = Some((min, max));
        self
    }

    /// Demands a pattern.
    #[must_use]
    pub const fn pattern(mut self, pattern: &'static Pattern) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// Says what the items of a list or the values of a map are.
    #[must_use]
    pub const fn item(mut self, item: &'static Self) -> Self {
        self.item = Some(item);
        self
    }

    /// Says what the keys of a map are.
    #[must_use]
    pub const fn key(mut self, key: &'static Self) -> Self {
        self.key = Some(key);
        self
    }

    /// Names the items of a list.
    #[must_use]
    pub const fn item_name(mut self, name: &'static str) -> Self {
        self.item_name = name;
        self
    }

    /// Names the keys and values of a map.
    #[must_use]
    pub const fn entry_names(mut self, key: &'static str, value: &'static str) -> Self {
        self.key_name = key;
        self.value_name = value;
        self
    }

    /// Flattens the collection.
    #[must_use]
    pub const fn flattened(mut self) -> Self {
        self.is_flattened = true;
        self
    }

    /// Sets the format of a timestamp.
    #[must_use]
    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = format;
        self
    }

    /// Returns the shape of the items of a list or the values of a map.
    pub fn item_shape(&self) -> &'static Self {
        self.item.unwrap_or(&Self::PLAIN)
    }

    /// Returns the shape of the keys of a map.
    pub fn key_shape(&self) -> &'static Self {
        self.key.unwrap_or(&Self::PLAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_out_of_order_is_found() {
        static SCHEMA: Schema = Schema { name: "S", root: None, members: &[Member::new("a"), Member::new("b")] };
        assert_eq!(SCHEMA.index_of("b", 1), Some(1));
        assert_eq!(SCHEMA.index_of("a", 1), Some(0));
        assert_eq!(SCHEMA.index_of("a", 7), Some(0));
        assert_eq!(SCHEMA.index_of("c", 0), None);
    }
}
