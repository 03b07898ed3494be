//! CompleteMultipartUpload.

use std::sync::Arc;

use api::s3 as api;
use state::Cx;
use state::s3::{Object, Part, Refusal, Upload};
use wire::ApiError;
use wire::checksum::{Algorithm, hex, md5};

use super::PARTS_MAX;
use crate::checksum::{self, set_checksum};
use crate::{condition, error, key};

/// The least size of every part but the last, 5 MiB, as in S3.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// Makes an object of an upload's parts. None of their bytes is moved.
pub(crate) async fn complete_multipart_upload(
    cx: &Cx,
    input: api::CompleteMultipartUploadRequest,
) -> Result<api::CompleteMultipartUploadOutput, api::Error> {
    let (bucket, home) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let key = input.key.unwrap_or_default();
    let (name, _) = super::upload(cx, &bucket, &key, input.upload_id)?;
    let wanted = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    if wanted.is_empty() || wanted.len() > usize::try_from(PARTS_MAX).unwrap_or(usize::MAX) {
        return Err(ApiError::malformed_xml().into());
    }
    let (if_match, if_none_match) = (input.if_match.as_deref(), input.if_none_match.as_deref());
    let completed = cx.state.s3.complete_upload(&name, |upload, parts, found| {
        condition::judge_put(&key, found, if_match, if_none_match)?;
        let chosen = choose(&name.2, &wanted, parts)?;
        Ok(join(cx, upload, &chosen))
    });
    let object = completed.map_err(|refusal| match refusal {
        Refusal::Other(error) => error,
        Refusal::NoSuchBucket | Refusal::NotFound | Refusal::NotEmpty => error::no_such_upload(&name.2),
    })?;
    let mut output = api::CompleteMultipartUploadOutput {
        location: Some(format!("https://{bucket}.s3.{}.amazonaws.com/{key}", home.region)),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_type: object.checksum.as_ref().map(checksum::kind),
        ..api::CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, &object.checksum);
    Ok(output)
}

/// Finds the parts that a client names.
fn choose(
    upload_id: &str,
    wanted: &[api::CompletedPart],
    parts: &[(u32, Arc<Part>)],
) -> Result<Vec<(u32, Arc<Part>)>, ApiError> {
    let number = |part: &api::CompletedPart| part.part_number.unwrap_or_default();
    if wanted.windows(2).any(|pair| number(&pair[0]) >= number(&pair[1])) {
        return Err(error::invalid_part_order(upload_id));
    }
    let mut chosen = Vec::new();
    for part in wanted {
        let etag = part.e_tag.as_deref().unwrap_or_default();
        let found = parts.iter().find(|(known, found)| {
            i64::from(*known) == i64::from(number(part)) && condition::matches(etag, &found.etag) && etag != "*"
        });
        let (number, found) =
            found.ok_or_else(|| error::invalid_part(upload_id, number(part), etag.trim_matches('"')))?;
        chosen.push((*number, Arc::clone(found)));
    }
    let all_but_last = &chosen[..chosen.len().saturating_sub(1)];
    if let Some((number, part)) = all_but_last.iter().find(|(_, part)| part.size < PART_BYTES_MIN) {
        return Err(error::entity_too_small(part.size, PART_BYTES_MIN, *number, &part.etag));
    }
    Ok(chosen)
}

fn join(cx: &Cx, upload: &Upload, parts: &[(u32, Arc<Part>)]) -> Object {
    let digests = parts.iter().flat_map(|(_, part)| from_hex(&part.etag)).collect::<Vec<_>>();
    let checksums = parts.iter().map(|(_, part)| (part.checksum.as_ref(), part.size)).collect::<Vec<_>>();
    let named = upload.checksum_algorithm.as_deref().and_then(Algorithm::named);
    let algorithm = named.unwrap_or(Algorithm::Crc64Nvme);
    Object {
        etag: format!("{}-{}", hex(&md5(&digests)), parts.len()),
        size: parts.iter().map(|(_, part)| part.size).sum(),
        last_modified: cx.now(),
        pieces: parts.iter().flat_map(|(_, part)| part.pieces.clone()).collect(),
        part_sizes: parts.iter().map(|(_, part)| part.size).collect(),
        checksum: checksum::of_parts(algorithm, upload.is_checksum_composite, &checksums),
        description: upload.description.clone(),
    }
}

/// Returns the bytes of a part's entity tag, which is an MD5.
fn from_hex(etag: &str) -> Vec<u8> {
    let pairs = (0..etag.len()).step_by(2).filter_map(|at| etag.get(at..at + 2));
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
