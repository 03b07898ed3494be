//! DeleteObject and DeleteObjects.

use api::s3 as api;
use state::Cx;
use state::s3::{Object, Refusal};
use wire::ApiError;

use crate::{condition, error, key};

/// The most keys of one request, as in S3.
const KEYS_MAX: usize = 1000;

/// Removes an object; one that is not there is no error.
pub(crate) async fn delete_object(
    cx: &Cx,
    input: api::DeleteObjectRequest,
) -> Result<api::DeleteObjectOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    key::version(input.version_id.as_deref())?;
    delete(cx, &bucket, &input.key.unwrap_or_default(), |object| match &input.if_match {
        Some(tags) if !condition::matches(tags, &object.etag) => Err(error::precondition_failed("If-Match")),
        _ => Ok(()),
    })?;
    Ok(api::DeleteObjectOutput::default())
}

/// Removes many objects, and says of each what became of it.
pub(crate) async fn delete_objects(
    cx: &Cx,
    input: api::DeleteObjectsRequest,
) -> Result<api::DeleteObjectsOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let delete_of = input.delete.unwrap_or_default();
    let (objects, is_quiet) = (delete_of.objects.unwrap_or_default(), delete_of.quiet.unwrap_or(false));
    if objects.is_empty() || objects.len() > KEYS_MAX {
        return Err(ApiError::malformed_xml().into());
    }
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in objects {
        let key = object.key.unwrap_or_default();
        let result = key::version(object.version_id.as_deref()).and_then(|()| {
            delete(cx, &bucket, &key, |found| match &object.e_tag {
                Some(tags) if !condition::matches(tags, &found.etag) => Err(error::precondition_failed("ETag")),
                _ => Ok(()),
            })
        });
        match result {
            Ok(()) => deleted.push(api::DeletedObject { key: Some(key), ..api::DeletedObject::default() }),
            Err(error) => errors.push(api::ErrorShape {
                key: Some(key),
                version_id: object.version_id,
                code: Some(error.code().to_owned()),
                message: Some(error.message().to_owned()),
            }),
        }
    }
    if is_quiet {
        deleted.clear();
    }
    Ok(api::DeleteObjectsOutput { deleted: Some(deleted), request_charged: None, errors: Some(errors) })
}

fn delete(
    cx: &Cx,
    bucket: &str,
    key: &str,
    condition: impl FnOnce(&Object) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    cx.state.s3.delete_object(bucket, key, condition).map_err(|refusal| match refusal {
        Refusal::NoSuchBucket | Refusal::NotFound | Refusal::NotEmpty => error::no_such_bucket(bucket),
        Refusal::Other(error) => error,
    })
}
