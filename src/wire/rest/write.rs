//! Writes what an operation of a REST service gives back: status, headers and body.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::text::TextWriter;
use crate::schema::Location;
use crate::value::write_members;
use crate::{Content, JsonWriter, Protocol, Schema, ServiceModel, Shape, Structure, Value, Writer, XmlWriter};

/// The type of a body that is bytes of no type that is known.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Renders an output. A streamed body is the [`Content`] among the response's extensions.
pub(crate) fn output(
    protocol: Protocol,
    model: &ServiceModel,
    operation: &str,
    output: &dyn Structure,
) -> Response<Bytes> {
    let schema = output.schema();
    let mut response = Response::new(Bytes::new());
    let status = model.route(operation).map_or(200, |route| route.status);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    for (index, member) in schema.members.iter().enumerate() {
        let Some(value) = output.member(index).get() else { continue };
        match member.location {
            Location::Header | Location::Headers => {
                write_headers(response.headers_mut(), member.name, value, member.shape)
            }
            Location::Status => {
                let status = value.describe().parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
                *response.status_mut() = status.unwrap_or(StatusCode::OK);
            }
            Location::Raw => write_raw(&mut response, value, member.shape),
            Location::Payload => {
                // The root is called after the member, as S3 has it, unless the shape has a name of its own.
                let body = document(protocol, model, member.name, value, member.shape);
                write_body(protocol, &mut response, body);
            }
            Location::Body | Location::Uri | Location::Query => {}
        }
    }
    let is_raw = schema.members.iter().any(|member| member.location == Location::Raw);
    if is_raw {
        // Unless the output itself says of which type it is.
        response.headers_mut().entry(CONTENT_TYPE).or_insert(BYTES);
    }
    let has = |location| schema.members.iter().any(|member| member.location == location);
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    if has(Location::Body) && !has(Location::Payload) && !is_raw {
        let body = members(protocol, model, output, schema);
        write_body(protocol, &mut response, body);
    } else if protocol == Protocol::RestJson && response.body().is_empty() && !is_empty {
        write_body(protocol, &mut response, b"{}".to_vec());
    }
    response
}

fn write_headers(headers: &mut HeaderMap, name: &str, value: &dyn Value, shape: &'static Shape) {
    let mut writer = TextWriter::default();
    value.write(&mut writer, shape);
    for (key, text) in writer.texts {
        let name = HeaderName::from_bytes(format!("{name}{key}").as_bytes());
        // A text that no header can hold is left out, as S3 leaves out metadata that it cannot send.
        if let (Ok(name), Ok(text)) = (name, HeaderValue::from_bytes(text.as_bytes())) {
            headers.append(name, text);
        }
    }
}

fn write_raw(response: &mut Response<Bytes>, value: &dyn Value, shape: &'static Shape) {
    let mut raw = RawWriter { bytes: Vec::new(), content: None };
    value.write(&mut raw, shape);
    *response.body_mut() = Bytes::from(raw.bytes);
    if let Some(content) = raw.content {
        response.extensions_mut().insert(content);
    }
}

fn write_body(protocol: Protocol, response: &mut Response<Bytes>, body: Vec<u8>) {
    *response.body_mut() = Bytes::from(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
}

fn document(
    protocol: Protocol,
    model: &ServiceModel,
    name: &'static str,
    value: &dyn Value,
    shape: &'static Shape,
) -> Vec<u8> {
    if protocol == Protocol::RestXml {
        let mut writer = XmlWriter::new();
        writer.root(name, model.xml_namespace);
        value.write(&mut writer, shape);
        return writer.into_bytes();
    }
    let mut writer = JsonWriter::new();
    value.write(&mut writer, shape);
    writer.into_bytes()
}

/// Writes the members that are in the body.
fn members(protocol: Protocol, model: &ServiceModel, output: &dyn Structure, schema: &Schema) -> Vec<u8> {
    if protocol == Protocol::RestXml {
        let mut writer = XmlWriter::new();
        let root = schema.root_name();
        if root.is_empty() {
            writer.namespace(model.xml_namespace);
            write_body_members(output, &mut writer);
            return writer.into_bytes();
        }
        writer.open(root, model.xml_namespace);
        write_body_members(output, &mut writer);
        writer.close(root);
        return writer.into_bytes();
    }
    let mut writer = JsonWriter::new();
    writer.start_structure();
    write_body_members(output, &mut writer);
    writer.end_structure();
    writer.into_bytes()
}

fn write_body_members(output: &dyn Structure, writer: &mut dyn Writer) {
    let schema = output.schema();
    if schema.members.iter().all(|member| member.location == Location::Body) {
        return write_members(output, writer);
    }
    for (index, member) in schema.members.iter().enumerate() {
        if let Some(value) = output.member(index).get().filter(|_| member.location == Location::Body) {
            writer.member(member);
            value.write(writer, member.shape);
        }
    }
}

/// Takes a body that is no document.
struct RawWriter {
    bytes: Vec<u8>,
    content: Option<Content>,
}

impl Writer for RawWriter {
    fn text(&mut self, value: &str) {
        self.bytes = value.as_bytes().to_vec();
    }

    fn blob(&mut self, value: &[u8]) {
        self.bytes = value.to_vec();
    }

    fn content(&mut self, value: &Content) {
        self.content = Some(value.clone());
    }

    fn boolean(&mut self, _value: bool) {}
    fn integer(&mut self, _value: i64) {}
    fn float(&mut self, _value: f32) {}
    fn double(&mut self, _value: f64) {}
    fn timestamp(&mut self, _value: &aws_smithy_types::DateTime, _shape: &'static Shape) {}
    fn document(&mut self, _value: &aws_smithy_types::Document) {}
    fn start_structure(&mut self) {}
    fn member(&mut self, _member: &'static crate::Member) {}
    fn end_structure(&mut self) {}
    fn start_list(&mut self, _shape: &'static Shape, _len: usize) {}
    fn item(&mut self) {}
    fn end_list(&mut self) {}
    fn start_map(&mut self, _shape: &'static Shape, _len: usize) {}
    fn key(&mut self, _key: &str) {}
    fn end_map(&mut self) {}
}
