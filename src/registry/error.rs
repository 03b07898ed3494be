//! What clients are told when a request fails: the codes of the OCI distribution API, in ECR's words where those are known.

use base::AccountId;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use state::ecr::Digest;

/// An error as a client sees it.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    code: &'static str,
    message: String,
    detail: serde_json::Value,
    headers: Vec<(HeaderName, String)>,
}

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: serde_json::Value::Null, headers: Vec::new() }
    }

    /// Nobody is logged in, or with a password that was not given here.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Not Authorized")
    }

    /// The password held once.
    pub(crate) fn expired() -> Self {
        let message = "Your authorization token has expired. Reauthenticate and try again.";
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// The repository is not there.
    pub(crate) fn name_unknown(name: &str, account: &AccountId) -> Self {
        let message = format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    /// No repository can have the name. (Wording unverified.)
    pub(crate) fn name_invalid(name: &str) -> Self {
        let message = format!("Invalid parameter at 'repositoryName': '{name}' is not the name of a repository");
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)
    }

    /// The image is not there.
    pub(crate) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    /// The image is there, in a form that the client does not take. (Wording unverified.)
    pub(crate) fn manifest_not_acceptable(media_type: &str) -> Self {
        let message = format!("The requested image has a manifest of type '{media_type}', which is not accepted");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    }

    /// The manifest is none, or not what it was sent as.
    pub(crate) fn manifest_invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("Invalid image manifest: {message}"))
    }

    /// The manifest names what is not in the repository.
    pub(crate) fn manifest_blob_unknown(missing: &[Digest], what: &str, name: &str, account: &AccountId) -> Self {
        let digests = missing.iter().map(Digest::to_string).collect::<Vec<_>>();
        let message = format!(
            "{what} with digests '[{}]' required for pushing image into repository with name '{name}' in the registry \
             with id '{account}' do not exist",
            digests.join(", ")
        );
        let error = Self::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message);
        Self { detail: serde_json::json!({ "digests": digests }), ..error }
    }

    /// The tag stays where it is.
    pub(crate) fn tag_immutable(tag: &str, name: &str) -> Self {
        let message = format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag \
             is immutable."
        );
        Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", message)
    }

    /// The layer is not there.
    pub(crate) fn blob_unknown(digest: &str, name: &str, account: &AccountId) -> Self {
        let message = format!(
            "The layer with digest '{digest}' does not exist in the repository with name '{name}' in the registry with \
             id '{account}'"
        );
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
    }

    /// The layer is part of an image. (Wording unverified: ECR removes no layers on request.)
    pub(crate) fn blob_in_use(digest: &str) -> Self {
        let message = format!("The layer with digest '{digest}' is part of an image");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    /// The upload is not there.
    pub(crate) fn upload_unknown(id: &str, name: &str, account: &AccountId) -> Self {
        let message = format!(
            "The upload with upload id '{id}' does not exist in the repository with name '{name}' in the registry with \
             id '{account}'"
        );
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
    }

    /// Something about an upload cannot be.
    pub(crate) fn upload_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// A piece does not begin where the last one ended.
    pub(crate) fn out_of_order(location: String, range: String) -> Self {
        let message = "The layer part does not begin where the last one ended";
        let error = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message);
        Self { headers: vec![(http::header::LOCATION, location), (http::header::RANGE, range)], ..error }
    }

    /// What was sent has another length than was said.
    pub(crate) fn size_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message)
    }

    /// A body is larger than it may be.
    pub(crate) fn too_large(bytes_max: u64) -> Self {
        let message = format!("It may have {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    }

    /// A digest is none, or not that of what was sent.
    pub(crate) fn digest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    /// No part of a layer is in the range.
    pub(crate) fn range_not_satisfiable(size: u64) -> Self {
        let message = "The requested range is not satisfiable";
        let error = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message);
        Self { headers: vec![(http::header::CONTENT_RANGE, format!("bytes */{size}"))], ..error }
    }

    /// How many entries a page is to have is no number.
    pub(crate) fn page_size_invalid(text: &str) -> Self {
        let message = format!("Invalid parameter at 'n': '{text}' is not a number of results");
        Self::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
    }

    /// There is nothing by this path.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "The operation is unsupported.")
    }

    /// The method is none for this path.
    pub(crate) fn unsupported() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.")
    }

    /// Something else keeps it from being done.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// A quota of AWS is used up.
    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DENIED", message)
    }

    /// It can be done later.
    pub(crate) fn too_many_requests() -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "Rate exceeded");
        Self { headers: vec![(http::header::RETRY_AFTER, "1".to_owned())], ..error }
    }

    /// Another part of the layer is being received. Its sender may be gone, so a client tries again.
    pub(crate) fn busy() -> Self {
        let message = "Another part of this layer is being received";
        Self { message: message.to_owned(), ..Self::too_many_requests() }
    }

    /// The body ended early or did not go on. Whoever sent it is hardly there to read this.
    pub(crate) fn body_broken(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// The registry that this one caches does not give an image. (Wording unverified.)
    pub(crate) fn upstream(error: &crate::NotCached) -> Self {
        tracing::warn!(%error, "an image of another registry is not cached");
        Self::new(StatusCode::BAD_GATEWAY, "UNKNOWN", format!("Unable to get the upstream image: {error}"))
    }

    /// Something failed here, which the log tells.
    pub(crate) fn internal() -> Self {
        let message = "An internal error occurred. Try again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
    }

    /// Something failed on the disk. (The protocol has no code for one that is full.)
    pub(crate) fn disk(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            tracing::warn!("something that was pushed is refused: too little is left of the disk");
            let message = "No space is left on the disk of this registry";
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "DENIED", message);
        }
        tracing::error!(%error, "a registry's file cannot be read or written");
        Self::internal()
    }

    /// Renders it for a client that asked `host`.
    pub(crate) fn response(self, host: Option<&str>) -> Response<Bytes> {
        let mut error = serde_json::json!({ "code": self.code, "message": self.message });
        if !self.detail.is_null() {
            error["detail"] = self.detail;
        }
        let body = serde_json::json!({ "errors": [error] }).to_string();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if self.status == StatusCode::UNAUTHORIZED {
            let realm =
                format!("Basic realm=\"https://{}/\",service=\"ecr.amazonaws.com\"", host.unwrap_or("localhost"));
            headers.extend(HeaderValue::from_str(&realm).map(|realm| (WWW_AUTHENTICATE, realm)));
        }
        for (name, value) in self.headers {
            headers.extend(HeaderValue::from_str(&value).map(|value| (name, value)));
        }
        response
    }
}
