//! PutObject.

use api::s3 as api;
use state::Cx;
use state::s3::{Object, Refusal};
use wire::ApiError;
use wire::checksum::hex;

use super::{description, keep};
use crate::checksum::{self, set_checksum};
use crate::{condition, error, key};

/// Keeps what was received as an object.
pub(crate) async fn put_object(cx: &Cx, mut input: api::PutObjectRequest) -> Result<api::PutObjectOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket.take(), input.expected_bucket_owner.as_deref())?;
    let key = key::new_key(input.key.take())?;
    let description = description!(input)?;
    let (received, pieces) = keep(cx, input.body.as_ref())?;
    let object = Object {
        etag: hex(&received.md5),
        size: received.length,
        last_modified: cx.now(),
        pieces,
        part_sizes: Vec::new(),
        checksum: Some(checksum::of_bytes(&received.checksum)),
        description,
    };
    let mut output = api::PutObjectOutput {
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_type: object.checksum.as_ref().map(checksum::kind),
        ..api::PutObjectOutput::default()
    };
    set_checksum!(output, &object.checksum);
    put(cx, &bucket, &key, object, input.if_match.as_deref(), input.if_none_match.as_deref())?;
    Ok(output)
}

/// Puts an object in if the conditions hold.
pub(crate) fn put(
    cx: &Cx,
    bucket: &str,
    key: &str,
    object: Object,
    if_match: Option<&str>,
    if_none_match: Option<&str>,
) -> Result<(), ApiError> {
    let put =
        cx.state.s3.put_object(bucket, key, object, |found| condition::judge_put(key, found, if_match, if_none_match));
    put.map_err(|refusal| match refusal {
        Refusal::NoSuchBucket | Refusal::NotFound | Refusal::NotEmpty => error::no_such_bucket(bucket),
        Refusal::Other(error) => error,
    })
}
