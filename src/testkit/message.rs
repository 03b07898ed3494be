//! Requests as AWS's clients send them, and replies.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use wire::ServiceNames;

/// What a request was answered with.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Returns the body as JSON, null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the code and the message of a JSON error.
    pub fn error(&self) -> (String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("message"))
    }
}

impl From<Response<Bytes>> for Reply {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let body = parts.extensions.get::<wire::Content>().map_or(body, content);
        Self { status: parts.status, headers: parts.headers, body }
    }
}

/// Reads a streamed body.
fn content(content: &wire::Content) -> Bytes {
    let wire::Content::Stretches(stretches) = content else { return Bytes::new() };
    let mut body = Vec::new();
    for stretch in stretches {
        let file = match &stretch.source {
            wire::Source::Open(file) => Arc::clone(file),
            wire::Source::Path { path, .. } => Arc::new(File::open(path).expect("the object's file is there")),
        };
        let mut piece = vec![0; usize::try_from(stretch.length).expect("tests have small objects")];
        file.read_exact_at(&mut piece, stretch.offset).expect("the object's file has its bytes");
        body.extend(piece);
    }
    Bytes::from(body)
}

/// Makes a request of a JSON service, signed as `account` in `region`.
///
/// # Panics
///
/// If the service is none that is known, or speaks no JSON.
pub fn json_request(service: &str, operation: &str, account: &str, region: &str, body: &str) -> Request<Bytes> {
    let names = names(service);
    assert!(!names.target.is_empty(), "{service} is no JSON service");
    let target = format!("{}.{operation}", names.target);
    let request = signed(names, account, region);
    let request = request.header("x-amz-target", target).header(CONTENT_TYPE, "application/x-amz-json-1.1");
    request.body(Bytes::copy_from_slice(body.as_bytes())).expect("the parts of the request are valid")
}

/// Makes a request of a service of the query or EC2 protocol, signed as `account` in `region`. `parameters` are encoded
/// already: `Name=value&…`.
///
/// # Panics
///
/// If the service is none that is known.
pub fn form_request(service: &str, operation: &str, account: &str, region: &str, parameters: &str) -> Request<Bytes> {
    let names = names(service);
    let separator = if parameters.is_empty() { "" } else { "&" };
    let body = format!("Action={operation}&Version={}{separator}{parameters}", names.version);
    let request = signed(names, account, region).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Bytes::from(body)).expect("the parts of the request are valid")
}

/// Makes a request of a REST service, signed as `account` in `region`.
///
/// # Errors
///
/// If a header or the URI is none.
///
/// # Panics
///
/// If the service is none that is known.
pub fn rest_request(
    service: &str,
    account: &str,
    region: &str,
    (method, uri): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> http::Result<Request<Bytes>> {
    let mut request = signed(names(service), account, region).method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes()))
}

fn names(service: &str) -> &'static ServiceNames {
    wire::service_named(service).unwrap_or_else(|| panic!("{service} is no service"))
}

fn signed(names: &ServiceNames, account: &str, region: &str) -> http::request::Builder {
    let scope = names.scope;
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{scope}/aws4_request, SignedHeaders=host, Signature=0"
    );
    Request::post("/").header(HOST, "localhost:4566").header(AUTHORIZATION, authorization)
}
