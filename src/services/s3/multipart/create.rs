//! CreateMultipartUpload.

use api::s3 as api;
use state::Cx;
use state::s3::Upload;
use wire::checksum::Algorithm;

use crate::object::description;
use crate::{error, key};

/// Begins an upload in parts.
pub(crate) async fn create_multipart_upload(
    cx: &Cx,
    mut input: api::CreateMultipartUploadRequest,
) -> Result<api::CreateMultipartUploadOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket.take(), input.expected_bucket_owner.as_deref())?;
    let key = key::new_key(input.key.take())?;
    let description = description!(input)?;
    let algorithm = input.checksum_algorithm.map(|name| {
        // The model knows more algorithms than are computed here.
        Algorithm::named(name.as_str()).ok_or_else(error::header_not_implemented)
    });
    let algorithm = algorithm.transpose()?;
    let is_composite = match (input.checksum_type, algorithm) {
        (None, algorithm) => algorithm.is_some_and(|algorithm| algorithm != Algorithm::Crc64Nvme),
        (Some(kind), Some(algorithm)) => {
            let is_composite = kind == api::ChecksumType::Composite;
            if is_composite == (algorithm == Algorithm::Crc64Nvme) && is_composite
                || !is_composite && !algorithm.is_linear()
            {
                let name = algorithm.as_str().to_lowercase();
                let message = format!("The {kind} checksum type cannot be used with the {name} checksum algorithm.");
                return Err(error::invalid_request(&message).into());
            }
            is_composite
        }
        (Some(_), None) => {
            let message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";
            return Err(error::invalid_request(message).into());
        }
    };
    let id = format!("{:032x}", cx.ids.bits());
    let upload = Upload {
        initiated_at: cx.now(),
        checksum_algorithm: algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        is_checksum_composite: is_composite,
        description,
    };
    let name = (bucket.clone(), key.clone(), id.clone());
    cx.state.s3.create_upload(&name, upload).map_err(|_| error::no_such_bucket(&bucket))?;
    let kind = if is_composite { api::ChecksumType::Composite } else { api::ChecksumType::FullObject };
    Ok(api::CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(id),
        checksum_type: algorithm.map(|_| kind),
        checksum_algorithm: algorithm.map(|algorithm| algorithm.as_str().into()),
        ..api::CreateMultipartUploadOutput::default()
    })
}
