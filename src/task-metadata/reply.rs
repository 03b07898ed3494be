//! Responses.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::go_json;

/// Answers with JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    respond(status, "application/json", go_json::write(body))
}

/// Answers a path that leads nowhere.
pub(crate) fn no_such_page() -> Response<Bytes> {
    respond(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n".to_owned())
}

/// Answers a method that a path does not take.
pub(crate) fn no_such_method() -> Response<Bytes> {
    respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::new())
}

/// Answers who asks too often.
pub(crate) fn too_many() -> Response<Bytes> {
    respond(StatusCode::TOO_MANY_REQUESTS, PLAIN, "You have reached maximum request limit.".to_owned())
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, content_type);
    response.body(Bytes::from(body)).expect("the headers are constants")
}
