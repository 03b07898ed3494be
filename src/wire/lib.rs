//! How AWS speaks: readers and writers of its protocols, the service router, errors on the wire.
//!
//! A shape is read and written once, against [`Reader`] and [`Writer`]; each protocol is one codec behind them. Nothing
//! here knows a service beyond its names, the state or the runtime; handlers are given a context of the server's choice.

mod aws_chunked;
mod byte_range;
mod cbor;
pub mod check;
pub mod checksum;
mod codec;
mod content;
mod credentials;
pub mod document;
mod error;
mod form;
mod json;
mod pattern;
mod protocol;
mod receiver;
mod response;
mod rest;
mod router;
mod schema;
mod service;
mod services;
mod shapes;
mod sigv4;
pub mod value;
mod xml;
mod xml_reader;

pub use byte_range::ByteRange;
pub use cbor::{CborReader, CborWriter};
pub use check::{Kind, Violation};
pub use codec::{Reader, Writer};
pub use content::{Content, Received, Source, Stretch};
pub use error::{ApiError, DecodeError, Fault, Payload};
pub use form::{Dialect, FormReader, parameters};
pub use json::{JsonReader, JsonWriter};
pub use pattern::Pattern;
pub use protocol::{Protocol, ServiceModel};
pub use receiver::{CONTENT_BYTES_MAX, ReceiveError, Receiver};
pub use response::{render_error, render_output};
pub use rest::RestRoute;
pub use router::{RouteError, Routed, is_for_s3, route};
pub use schema::{Location, Member, Schema, Shape, TimestampFormat};
pub use service::{Answer, Decode, Operation, Route, Service, handle, resolve};
pub use services::{ServiceNames, service_named};
pub use sigv4::{Credential, caller, credential, session_token};
pub use value::{Empty, Slot, Structure, Value};
pub use xml::XmlWriter;
