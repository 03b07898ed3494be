//! Reads a request of a REST protocol: its body first, then what is said elsewhere.

use std::borrow::Cow;

use aws_smithy_types::{Blob, DateTime, Document};
use bytes::Bytes;
use http::{HeaderMap, Request};

use super::route::{RestRoute, target};
use super::text::{Place, TextReader};
use crate::json::JsonReader;
use crate::schema::Location;
use crate::xml_reader::XmlReader;
use crate::{Content, DecodeError, Member, Protocol, Reader, Schema, Shape, Structure, parameters};

type Result<T> = std::result::Result<T, DecodeError>;

/// What of a request cannot be read.
pub(crate) enum Unread {
    /// Its body.
    Body(DecodeError),
    /// Its path, query or headers.
    Head(DecodeError),
}

/// Reads a request into its type. A streamed body is the [`Content`]
/// among the request's extensions.
pub(crate) fn read(
    protocol: Protocol,
    route: &RestRoute,
    service: &str,
    request: &Request<Bytes>,
    input: &mut dyn Structure,
) -> std::result::Result<(), Unread> {
    let schema = input.schema();
    match schema.members.iter().position(|member| matches!(member.location, Location::Payload | Location::Raw)) {
        Some(index) => read_payload(protocol, request, schema, index, input).map_err(Unread::Body)?,
        None if schema.members.iter().any(|member| member.location == Location::Body) => {
            let mut fill = |reader: &mut dyn Reader| crate::value::fill_structure(&mut *input, reader);
            read_document(protocol, request.body(), &mut fill).map_err(Unread::Body)?;
        }
        None => {}
    }
    let path = target(service, request.headers(), request.uri());
    let labels = route.labels(&path).map_err(Unread::Head)?;
    for (index, member) in schema.members.iter().enumerate() {
        let Some((texts, place)) = texts_of(member, &labels, request) else { continue };
        let mut reader = TextReader::new(texts, place);
        let filled = input.member_mut(index).fill(&mut reader, member.shape);
        filled.map_err(|error| Unread::Head(error.inside_member(member.name)))?;
    }
    Ok(())
}

/// Returns what a request says about a member outside of its body, and where.
fn texts_of(
    member: &'static Member,
    labels: &[(&'static str, String)],
    request: &Request<Bytes>,
) -> Option<(Vec<(String, String)>, Place)> {
    let unnamed = |value: String| vec![(String::new(), value)];
    let (texts, place) = match member.location {
        Location::Body | Location::Payload | Location::Raw | Location::Status => return None,
        Location::Uri => {
            let label = labels.iter().find(|(name, _)| *name == member.name);
            (label.map_or_else(Vec::new, |(_, value)| unnamed(value.clone())), Place::Uri)
        }
        Location::Query => {
            let all = parameters(request.uri().query().unwrap_or_default());
            let texts = all.filter(|(name, _)| name == member.name);
            (texts.map(|(_, value)| (String::new(), value.into_owned())).collect(), Place::Uri)
        }
        Location::Header => (header(request.headers(), member.name).map_or_else(Vec::new, unnamed), Place::Header),
        Location::Headers => (headers(request.headers(), member.name), Place::Header),
    };
    (!texts.is_empty()).then_some((texts, place))
}

/// Returns a header's value. Clients send UTF-8 in metadata although headers are ASCII.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn headers(all: &HeaderMap, prefix: &str) -> Vec<(String, String)> {
    let prefix = prefix.to_ascii_lowercase();
    let names = all.keys().filter_map(|name| Some((name, name.as_str().strip_prefix(&prefix)?)));
    names.filter_map(|(name, rest)| Some((rest.to_owned(), header(all, name.as_str())?))).collect()
}

fn read_payload(
    protocol: Protocol,
    request: &Request<Bytes>,
    schema: &'static Schema,
    index: usize,
    input: &mut dyn Structure,
) -> Result<()> {
    let member = &schema.members[index];
    let slot = input.member_mut(index);
    if let Some(content) = request.extensions().get::<Content>() {
        return slot.fill(&mut RawReader(Raw::Content(content.clone())), member.shape);
    }
    if request.body().is_empty() {
        return Ok(());
    }
    let filled = if member.location == Location::Raw {
        slot.fill(&mut RawReader(Raw::Bytes(request.body().clone())), member.shape)
    } else {
        read_document(protocol, request.body(), &mut |reader| slot.fill(reader, member.shape))
    };
    filled.map_err(|error| error.inside_member(member.name))
}

fn read_document(protocol: Protocol, body: &[u8], fill: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
    if protocol == Protocol::RestXml {
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        return fill(&mut XmlReader::new(body)?);
    }
    let mut reader = JsonReader::new(body)?;
    fill(&mut reader)?;
    reader.finish()
}

/// Reads a body that is no document.
struct RawReader(Raw);

enum Raw {
    Content(Content),
    Bytes(Bytes),
}

impl RawReader {
    fn wrong<T>(&self, wanted: &str) -> Result<T> {
        Err(DecodeError::wrong_type("the body", wanted))
    }
}

impl Reader for RawReader {
    fn boolean(&mut self) -> Result<bool> {
        self.wrong("Boolean")
    }

    fn integer(&mut self, _min: i64, _max: i64, kind: &'static str) -> Result<i64> {
        self.wrong(kind)
    }

    fn double(&mut self) -> Result<f64> {
        self.wrong("Double")
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        match &self.0 {
            Raw::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes)),
            Raw::Content(_) => self.wrong("String"),
        }
    }

    fn blob(&mut self) -> Result<Blob> {
        match &self.0 {
            Raw::Bytes(bytes) => Ok(Blob::new(bytes.to_vec())),
            Raw::Content(_) => self.wrong("Blob"),
        }
    }

    fn content(&mut self) -> Result<Content> {
        match &self.0 {
            Raw::Content(content) => Ok(content.clone()),
            Raw::Bytes(_) => self.wrong("stream"),
        }
    }

    fn timestamp(&mut self, _shape: &'static Shape) -> Result<DateTime> {
        self.wrong("Timestamp")
    }

    fn document(&mut self) -> Result<Document> {
        self.wrong("Document")
    }

    fn start_structure(&mut self) -> Result<()> {
        self.wrong("Structure")
    }

    fn next_member(&mut self, _schema: &'static Schema, _expected: usize) -> Result<Option<usize>> {
        self.wrong("Structure")
    }

    fn start_list(&mut self, _shape: &'static Shape) -> Result<()> {
        self.wrong("List")
    }

    fn next_item(&mut self) -> Result<bool> {
        self.wrong("List")
    }

    fn start_map(&mut self, _shape: &'static Shape) -> Result<()> {
        self.wrong("Map")
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        self.wrong("Map")
    }
}
