//! How answers are put together.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// The digest of what is answered or was stored.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The id of an upload.
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The manifest that a pushed one is about.
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// What a list of referrers was reduced by.
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// By this clients know a registry.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Tells that there is a registry.
pub(crate) fn base() -> Response<Bytes> {
    json(Bytes::from_static(b"{}"), "application/json")
}

/// Answers without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Answers with a document.
pub(crate) fn json(body: Bytes, media_type: &str) -> Response<Bytes> {
    let mut response = Response::new(body);
    set(&mut response, CONTENT_TYPE, media_type);
    response
}

/// Sets a header. One that no header can hold is left out: it came from a client.
pub(crate) fn set(response: &mut Response<Bytes>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds what every answer has, and takes the body out of one that is only about a body.
pub(crate) fn finish(mut response: Response<Bytes>, is_head: bool) -> Response<Bytes> {
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if is_head {
        if !response.headers().contains_key(CONTENT_LENGTH) {
            let length = response.body().len().to_string();
            set(&mut response, CONTENT_LENGTH, &length);
        }
        response.extensions_mut().remove::<wire::Content>();
        *response.body_mut() = Bytes::new();
    }
    response
}
