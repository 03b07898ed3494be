//! ListParts and ListMultipartUploads.

use api::s3 as api;
use state::Cx;
use state::s3::{Part, Upload};

use crate::checksum::set_checksum;
use crate::listing::{Encoding, size};
use crate::{bucket, key};

/// Lists the parts of an upload.
pub(crate) async fn list_parts(cx: &Cx, input: api::ListPartsRequest) -> Result<api::ListPartsOutput, api::Error> {
    let (name, home) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let (upload_name, upload) = super::upload(cx, &name, &input.key.unwrap_or_default(), input.upload_id)?;
    let max_parts = size("max-parts", input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or_default();
    let mut left = cx.state.s3.parts_of(&upload_name.2, u32::try_from(marker).unwrap_or_default());
    let page = left.by_ref().take(usize::try_from(max_parts).unwrap_or_default()).collect::<Vec<_>>();
    let is_truncated = max_parts > 0 && left.next().is_some();
    let last = page.last().and_then(|(number, _)| i32::try_from(*number).ok());
    let owner = bucket::owner(home.owner.as_str());
    Ok(api::ListPartsOutput {
        bucket: Some(name),
        key: Some(upload_name.1),
        upload_id: Some(upload_name.2),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(last.unwrap_or_default()),
        max_parts: Some(max_parts),
        is_truncated: Some(is_truncated),
        parts: Some(page.iter().map(|(number, part)| view(*number, part)).collect()),
        initiator: Some(api::Initiator { id: owner.id.clone(), display_name: owner.display_name.clone() }),
        owner: Some(owner),
        storage_class: Some(upload.description.storage_class.as_deref().unwrap_or("STANDARD").into()),
        checksum_algorithm: upload.checksum_algorithm.as_deref().map(Into::into),
        checksum_type: kind(&upload),
        ..api::ListPartsOutput::default()
    })
}

/// Lists the uploads of a bucket that are neither completed nor aborted.
pub(crate) async fn list_multipart_uploads(
    cx: &Cx,
    input: api::ListMultipartUploadsRequest,
) -> Result<api::ListMultipartUploadsOutput, api::Error> {
    let (name, home) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let max_uploads = size("max-uploads", input.max_uploads)?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let key_marker = input.key_marker.unwrap_or_default();
    let id_marker = input.upload_id_marker.filter(|_| !key_marker.is_empty());
    let encoding = Encoding::new(input.encoding_type);
    let owner = bucket::owner(home.owner.as_str());
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::<String>::new());
    let (mut last, mut is_truncated) = (None, false);
    let after = (!key_marker.is_empty()).then(|| (key_marker.clone(), id_marker.clone().unwrap_or_default()));
    for ((_, key, id), upload) in cx.state.s3.uploads_of(&name, after) {
        // Without an upload's id the marker stands behind all uploads of its key, and behind all keys of its prefix.
        let is_behind = id_marker.is_some() || key > key_marker;
        if !key.starts_with(&prefix) || !is_behind {
            continue;
        }
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let end = if delimiter.is_empty() { None } else { rest.find(&delimiter) };
        let common = end.and_then(|end| key.get(..prefix.len() + end + delimiter.len())).map(str::to_owned);
        if common.as_ref().is_some_and(|common| prefixes.last() == Some(common) || *common == key_marker) {
            continue;
        }
        if uploads.len() + prefixes.len() == usize::try_from(max_uploads).unwrap_or_default() {
            is_truncated = max_uploads > 0;
            break;
        }
        match common {
            Some(common) => {
                last = Some((common.clone(), None));
                prefixes.push(common);
            }
            None => {
                last = Some((key.clone(), Some(id.clone())));
                uploads.push(upload_view(encoding.encode(&key), id, &upload, &owner));
            }
        }
    }
    let (next_key, next_id) = last.filter(|_| is_truncated).unzip();
    let prefixes = prefixes.iter().map(|prefix| api::CommonPrefix { prefix: Some(encoding.encode(prefix)) });
    Ok(api::ListMultipartUploadsOutput {
        bucket: Some(name),
        key_marker: Some(encoding.encode(&key_marker)),
        upload_id_marker: Some(id_marker.unwrap_or_default()),
        next_key_marker: next_key.map(|key| encoding.encode(&key)),
        prefix: Some(encoding.encode(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.encode(&delimiter)),
        next_upload_id_marker: next_id.flatten(),
        max_uploads: Some(max_uploads),
        is_truncated: Some(is_truncated),
        uploads: Some(uploads),
        common_prefixes: Some(prefixes.collect()),
        encoding_type: encoding.0,
        request_charged: None,
    })
}

fn view(number: u32, part: &Part) -> api::Part {
    let mut view = api::Part {
        part_number: i32::try_from(number).ok(),
        last_modified: Some(part.last_modified.into()),
        e_tag: Some(format!("\"{}\"", part.etag)),
        size: i64::try_from(part.size).ok(),
        ..api::Part::default()
    };
    set_checksum!(view, &part.checksum);
    view
}

fn upload_view(key: String, id: String, upload: &Upload, owner: &api::Owner) -> api::MultipartUpload {
    api::MultipartUpload {
        upload_id: Some(id),
        key: Some(key),
        initiated: Some(upload.initiated_at.into()),
        storage_class: Some(upload.description.storage_class.as_deref().unwrap_or("STANDARD").into()),
        owner: Some(owner.clone()),
        initiator: Some(api::Initiator { id: owner.id.clone(), display_name: owner.display_name.clone() }),
        checksum_algorithm: upload.checksum_algorithm.as_deref().map(Into::into),
        checksum_type: kind(upload),
    }
}

fn kind(upload: &Upload) -> Option<api::ChecksumType> {
    let kind = if upload.is_checksum_composite { api::ChecksumType::Composite } else { api::ChecksumType::FullObject };
    upload.checksum_algorithm.as_ref().map(|_| kind)
}
