//! Objects.

pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod put;

use state::Cx;
use state::s3::{Description, Piece};
use wire::{ApiError, Content};

use crate::error;

/// The type of an object whose client says none.
const CONTENT_TYPE_DEFAULT: &str = "binary/octet-stream";
/// The most bytes of names and values of a client's own metadata, as in S3.
const METADATA_BYTES_MAX: usize = 2048;

/// Takes what a request says about an object; the requests that make one call its members alike.
macro_rules! description {
    ($input:expr) => {
        crate::object::checked(state::s3::Description {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take(),
            website_redirect_location: $input.website_redirect_location.take(),
            storage_class: $input.storage_class.take().map(|class| class.to_string()),
            metadata: $input.metadata.take().unwrap_or_default(),
        })
    };
}
pub(crate) use description;

/// Checks and completes a description.
pub(crate) fn checked(mut description: Description) -> Result<Description, ApiError> {
    let size: usize = description.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_BYTES_MAX {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(ApiError::client("MetadataTooLarge", message));
    }
    description.content_type.get_or_insert_with(|| CONTENT_TYPE_DEFAULT.to_owned());
    // How the body came is not how the object is encoded.
    description.content_encoding = description.content_encoding.and_then(|encodings| {
        let kept =
            encodings.split(',').map(str::trim).filter(|encoding| !encoding.is_empty() && *encoding != "aws-chunked");
        Some(kept.collect::<Vec<_>>().join(",")).filter(|kept| !kept.is_empty())
    });
    description.storage_class = description.storage_class.filter(|class| class != "STANDARD");
    Ok(description)
}

/// Moves a received body into the store. An empty one needs no file.
pub(crate) fn keep(
    cx: &Cx,
    content: Option<&Content>,
) -> Result<(std::sync::Arc<wire::Received>, Vec<Piece>), ApiError> {
    let Some(Content::Received(received)) = content else {
        return Err(ApiError::new("MissingContentLength", 411, "You must provide the Content-Length HTTP header."));
    };
    let mut pieces = Vec::new();
    if received.length > 0 {
        let blob = cx.state.s3.blobs().keep(&received.path).map_err(|error| error::broken(&error))?;
        pieces.push(Piece { blob, offset: 0, length: received.length });
    }
    Ok((std::sync::Arc::clone(received), pieces))
}
