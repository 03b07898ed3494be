//! AbortMultipartUpload.

use api::s3 as api;
use state::Cx;

use crate::{error, key};

/// Gives an upload up.
pub(crate) async fn abort_multipart_upload(
    cx: &Cx,
    input: api::AbortMultipartUploadRequest,
) -> Result<api::AbortMultipartUploadOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let (name, _) = super::upload(cx, &bucket, &input.key.unwrap_or_default(), input.upload_id)?;
    cx.state.s3.abort_upload(&name).map_err(|_| error::no_such_upload(&name.2))?;
    Ok(api::AbortMultipartUploadOutput::default())
}
