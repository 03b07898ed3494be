//! Reads XML bodies: the text becomes a small tree first, because members of a structure may come in any order and a
//! flattened list's items between others.

use std::borrow::Cow;

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{Blob, DateTime, Document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::Event;

use crate::schema::TimestampFormat;
use crate::{DecodeError, Reader, Schema, Shape};

/// Deeper inputs are refused; no S3 input comes near it.
const DEPTH_MAX: usize = 32;
/// More elements are refused: the longest input, CompleteMultipartUpload, has 10,000 parts of three to six elements.
const ELEMENTS_MAX: usize = 100_000;

type Result<T> = std::result::Result<T, DecodeError>;

#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    /// Indexes of the elements in it.
    children: Vec<usize>,
}

/// Reads an XML text.
#[derive(Debug)]
pub(crate) struct XmlReader {
    /// Every element; the first is the root.
    elements: Vec<Element>,
    frames: Vec<Frame>,
    /// The elements that the value being read is made of: several for a flattened list.
    current: Vec<usize>,
}

#[derive(Debug)]
enum Frame {
    /// The children of a structure that are still to be read.
    Structure(Vec<usize>),
    /// The items of a list that are still to be read, last one first.
    List(Vec<usize>),
    /// The entries of a map that are still to be read, last one first.
    Map(Vec<usize>, &'static Shape),
}

impl XmlReader {
    /// Parses a body.
    pub(crate) fn new(body: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::new("the body is not UTF-8"))?;
        Ok(Self { elements: parse(text)?, frames: Vec::new(), current: vec![0] })
    }

    fn first(&self) -> &Element {
        &self.elements[self.current.first().copied().unwrap_or_default()]
    }

    fn value(&self) -> &str {
        &self.first().text
    }

    fn not_a(&self, wanted: &str) -> DecodeError {
        DecodeError::new(format!("'{}' is not a valid {wanted}", self.value().trim()))
    }

    /// Returns the children of the current elements, or for a flattened list the elements themselves; last one first.
    fn parts(&self, shape: &'static Shape) -> Vec<usize> {
        let mut parts = if shape.is_flattened { self.current.clone() } else { self.first().children.clone() };
        parts.reverse();
        parts
    }
}

/// Parses a text; the first element is the root.
fn parse(text: &str) -> Result<Vec<Element>> {
    let malformed = |error: &dyn std::fmt::Display| DecodeError::new(format!("the body is not XML: {error}"));
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut elements, mut open) = (Vec::<Element>::new(), Vec::<usize>::new());
    loop {
        match reader.read_event().map_err(|error| malformed(&error))? {
            Event::Start(start) => {
                let index = begin(&mut elements, &open, start.local_name().as_ref())?;
                open.push(index);
            }
            Event::Empty(start) => {
                begin(&mut elements, &open, start.local_name().as_ref())?;
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Text(text) => {
                append(&mut elements, &open, &text.xml10_content());
            }
            Event::CData(text) => {
                append(&mut elements, &open, &text.into_inner());
            }
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| malformed(&error))?;
                let text = match character {
                    Some(character) => character.to_string(),
                    None => {
                        let name = name.into_inner();
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or_else(|| malformed(&"an entity is not known"))?.to_owned()
                    }
                };
                append(&mut elements, &open, &text);
            }
            Event::Eof => break,
            // Declarations and comments say nothing; entities cannot be declared.
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
        }
    }
    if elements.is_empty() || !open.is_empty() {
        return Err(malformed(&"it ends early"));
    }
    Ok(elements)
}

fn begin(elements: &mut Vec<Element>, open: &[usize], name: &str) -> Result<usize> {
    let has_second_root = open.is_empty() && !elements.is_empty();
    if open.len() == DEPTH_MAX || elements.len() == ELEMENTS_MAX || has_second_root {
        return Err(DecodeError::new("the body has too many elements, or too deep ones"));
    }
    let index = elements.len();
    elements.push(Element { name: name.to_owned(), ..Element::default() });
    if let Some(parent) = open.last() {
        elements[*parent].children.push(index);
    }
    Ok(index)
}

fn append(elements: &mut [Element], open: &[usize], text: &str) {
    if let Some(index) = open.last() {
        elements[*index].text.push_str(text);
    }
}

impl Reader for XmlReader {
    fn boolean(&mut self) -> Result<bool> {
        match self.value().trim() {
            "true" | "TRUE" | "True" => Ok(true),
            "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.not_a("boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64> {
        let value = self.value().trim().parse().ok().filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| self.not_a(kind))
    }

    fn double(&mut self) -> Result<f64> {
        self.value().trim().parse().map_err(|_| self.not_a("number"))
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        Ok(Cow::Borrowed(self.value()))
    }

    fn blob(&mut self) -> Result<Blob> {
        STANDARD.decode(self.value().trim()).map(Blob::new).map_err(|_| self.not_a("base 64 text"))
    }

    fn timestamp(&mut self, shape: &'static Shape) -> Result<DateTime> {
        let format = match shape.timestamp {
            TimestampFormat::Protocol | TimestampFormat::DateTime => Format::DateTimeWithOffset,
            TimestampFormat::EpochSeconds => Format::EpochSeconds,
            TimestampFormat::HttpDate => Format::HttpDate,
        };
        DateTime::from_str(self.value().trim(), format).map_err(|_| self.not_a("timestamp"))
    }

    fn document(&mut self) -> Result<Document> {
        Ok(Document::String(self.value().to_owned()))
    }

    fn start_structure(&mut self) -> Result<()> {
        let mut children = self.first().children.clone();
        children.reverse();
        self.frames.push(Frame::Structure(children));
        Ok(())
    }

    fn next_member(&mut self, schema: &'static Schema, expected: usize) -> Result<Option<usize>> {
        let Some(Frame::Structure(left)) = self.frames.last_mut() else { return Ok(None) };
        while let Some(child) = left.pop() {
            let name = &self.elements[child].name;
            let Some(index) = schema.index_of(name, expected) else { continue };
            // All that have the name belong together: they are a flattened list, or the first one counts.
            let mut same = vec![child];
            same.extend(left.iter().rev().filter(|other| self.elements[**other].name == *name));
            left.retain(|other| self.elements[*other].name != *name);
            self.current = same;
            return Ok(Some(index));
        }
        self.frames.pop();
        Ok(None)
    }

    fn start_list(&mut self, shape: &'static Shape) -> Result<()> {
        self.frames.push(Frame::List(self.parts(shape)));
        Ok(())
    }

    fn next_item(&mut self) -> Result<bool> {
        let Some(Frame::List(left)) = self.frames.last_mut() else { return Ok(false) };
        if let Some(item) = left.pop() {
            self.current = vec![item];
            return Ok(true);
        }
        self.frames.pop();
        Ok(false)
    }

    fn start_map(&mut self, shape: &'static Shape) -> Result<()> {
        self.frames.push(Frame::Map(self.parts(shape), shape));
        Ok(())
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        let Some(Frame::Map(left, shape)) = self.frames.last_mut() else { return Ok(None) };
        let Some(entry) = left.pop() else {
            self.frames.pop();
            return Ok(None);
        };
        let part = |name: &str| {
            let mut children = self.elements[entry].children.iter().copied();
            children.find(|child| self.elements[*child].name == name)
        };
        let missing = || DecodeError::new("an entry has no key or no value");
        let key = part(shape.key_name).ok_or_else(missing)?;
        let value = part(shape.value_name).ok_or_else(missing)?;
        self.current = vec![value];
        Ok(Some(self.elements[key].text.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Member;

    static FLAT: Shape = Shape::PLAIN.flattened();
    static NAMED: Shape = Shape::PLAIN.item_name("Tag");

    crate::structure! {
        Item { 0 key: String = Member::new("Key"); 1 count: i32 = Member::new("Count"); }
    }
    crate::structure! {
        Root {
            0 items: Vec<Item> = Member::new("Object").shape(&FLAT);
            1 tags: Vec<String> = Member::new("TagSet").shape(&NAMED);
            2 is_quiet: bool = Member::new("Quiet");
            3 map: BTreeMap<String, String> = Member::new("Map");
            4 at: DateTime = Member::new("At");
        }
    }

    fn read(text: &str) -> Result<Root> {
        let mut root = Root::default();
        crate::value::fill_structure(&mut root, &mut XmlReader::new(text.as_bytes())?)?;
        Ok(root)
    }

    #[test]
    fn members_come_in_any_order_and_flattened_items_anywhere() {
        let root = read(
            "<?xml version=\"1.0\"?><Root xmlns=\"urn:x\"><Object><Key>a &lt;&#252;&amp;</Key></Object><Quiet>true</Quiet>\
             <!-- no --><Unknown><Key>n</Key></Unknown><Object><Count>7</Count><Key><![CDATA[<b>]]></Key></Object>\
             <TagSet><Tag>x</Tag><Tag/></TagSet><Map><entry><key>k</key><value>v</value></entry></Map>\
             <At>2026-11-20T10:00:00.000Z</At></Root>",
        )
        .unwrap();
        let items = root.items.unwrap();
        assert_eq!(items[0].key.as_deref(), Some("a <ü&"));
        assert_eq!((items[1].key.as_deref(), items[1].count), (Some("<b>"), Some(7)));
        assert_eq!(root.tags.unwrap(), ["x", ""]);
        assert_eq!((root.is_quiet, root.map.unwrap()["k"].as_str()), (Some(true), "v"));
        assert_eq!(root.at.unwrap().secs(), 1_795_168_800);
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        let deep = "<a>".repeat(DEPTH_MAX + 1);
        for text in ["", "x", "<a>", "<a></b>", "<a/><b/>", "<a>&unknown;</a>", "<Root><Quiet>7</Quiet></Root>", &deep]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
