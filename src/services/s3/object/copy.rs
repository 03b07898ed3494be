//! CopyObject: a copy shares its bytes with its source, as bytes never change.

use std::sync::Arc;

use api::s3 as api;
use percent_encoding::percent_decode_str;
use state::Cx;
use state::s3::{Object, Piece};
use wire::{ApiError, CONTENT_BYTES_MAX};

use super::description;
use super::put::put;
use crate::checksum::{self, set_checksum};
use crate::condition::Conditions;
use crate::{error, key};

/// Copies an object. Its entity tag stays that of the source; S3 computes a new one if the source came in parts.
pub(crate) async fn copy_object(
    cx: &Cx,
    mut input: api::CopyObjectRequest,
) -> Result<api::CopyObjectOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket.take(), input.expected_bucket_owner.as_deref())?;
    let key = key::new_key(input.key.take())?;
    let source_name = input.copy_source.take().unwrap_or_default();
    let conditions = Conditions {
        if_match: input.copy_source_if_match.as_deref(),
        if_none_match: input.copy_source_if_none_match.as_deref(),
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let (from, source) = source(cx, &source_name, input.expected_source_bucket_owner.as_deref(), &conditions)?;
    if source.size > CONTENT_BYTES_MAX {
        let message = format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {CONTENT_BYTES_MAX}"
        );
        return Err(error::invalid_request(&message).into());
    }
    let is_replaced = input.metadata_directive == Some(api::MetadataDirective::Replace);
    let storage_class = input.storage_class.clone().map(|class| class.to_string());
    let redirect = input.website_redirect_location.clone();
    if from == (bucket.clone(), key.clone()) && !is_replaced && storage_class.is_none() && redirect.is_none() {
        return Err(error::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes.",
        )
        .into());
    }
    let description = if is_replaced {
        description!(input)?
    } else {
        // The class and the redirection are never taken over.
        let mut description = source.description.clone();
        description.storage_class = storage_class.filter(|class| class != "STANDARD");
        description.website_redirect_location = redirect;
        description
    };
    let object = Object {
        last_modified: cx.now(),
        pieces: share(cx, &source.pieces)?,
        part_sizes: Vec::new(),
        description,
        ..Object::clone(&source)
    };
    let mut result = api::CopyObjectResult {
        e_tag: Some(format!("\"{}\"", object.etag)),
        last_modified: Some(object.last_modified.into()),
        checksum_type: object.checksum.as_ref().map(checksum::kind),
        ..api::CopyObjectResult::default()
    };
    set_checksum!(result, &object.checksum);
    put(cx, &bucket, &key, object, input.if_match.as_deref(), input.if_none_match.as_deref())?;
    Ok(api::CopyObjectOutput { copy_object_result: Some(result), ..api::CopyObjectOutput::default() })
}

/// Finds the source of a copy: `bucket/key`, escaped, perhaps with `?versionId=null`.
pub(crate) fn source(
    cx: &Cx,
    name: &str,
    expected_owner: Option<&str>,
    conditions: &Conditions<'_>,
) -> Result<((String, String), Arc<Object>), ApiError> {
    let (path, version) = match name.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (name, None),
    };
    let invalid = || {
        let message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
        error::invalid_argument("x-amz-copy-source", name, message)
    };
    let path = percent_decode_str(path).decode_utf8().map_err(|_| invalid())?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/').ok_or_else(invalid)?;
    if bucket.is_empty() || key.is_empty() {
        return Err(invalid());
    }
    key::version(version)?;
    let (bucket, _) = key::bucket(cx, Some(bucket.to_owned()), expected_owner)?;
    let object = cx.state.s3.object(&bucket, key).ok_or_else(|| error::no_such_key(key))?;
    conditions.judge_source(&object)?;
    Ok(((bucket, key.to_owned()), object))
}

/// Makes pieces with the same bytes that belong to somebody else.
pub(crate) fn share(cx: &Cx, pieces: &[Piece]) -> Result<Vec<Piece>, ApiError> {
    let mut shared = Vec::new();
    for piece in pieces {
        match cx.state.s3.blobs().copy(&piece.blob) {
            Ok(blob) => shared.push(Piece { blob, ..piece.clone() }),
            Err(error) => {
                cx.state.s3.discard(&shared);
                return Err(error::broken(&error));
            }
        }
    }
    Ok(shared)
}
