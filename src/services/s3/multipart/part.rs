//! UploadPart and UploadPartCopy.

use api::s3 as api;
use state::Cx;
use state::s3::{Object, ObjectChecksum, Part, Piece, Upload, UploadName};
use wire::checksum::{Algorithm, hex, md5};
use wire::{ApiError, ByteRange};

use super::PARTS_MAX;
use crate::checksum::{self, set_checksum};
use crate::condition::Conditions;
use crate::object::{copy, keep};
use crate::range;
use crate::{error, key};

/// Keeps what was received as a part.
pub(crate) async fn upload_part(cx: &Cx, input: api::UploadPartRequest) -> Result<api::UploadPartOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let number = number(input.part_number)?;
    let (name, upload) = super::upload(cx, &bucket, &input.key.unwrap_or_default(), input.upload_id)?;
    let (received, pieces) = keep(cx, input.body.as_ref())?;
    let checksum = checksum::of_bytes(&received.checksum);
    if let Err(error) = check_algorithm(&upload, &checksum) {
        cx.state.s3.discard(&pieces);
        return Err(error.into());
    }
    let etag = hex(&received.md5);
    let mut output = api::UploadPartOutput { e_tag: Some(format!("\"{etag}\"")), ..api::UploadPartOutput::default() };
    set_checksum!(output, Some(&checksum));
    put(cx, &name, number, etag, pieces, Some(checksum))?;
    Ok(output)
}

/// Keeps an object, or a range of it, as a part. Its bytes are not read: its entity tag is made of the source's.
pub(crate) async fn upload_part_copy(
    cx: &Cx,
    input: api::UploadPartCopyRequest,
) -> Result<api::UploadPartCopyOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let number = number(input.part_number)?;
    let (name, _) = super::upload(cx, &bucket, &input.key.unwrap_or_default(), input.upload_id)?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.as_deref(),
        if_none_match: input.copy_source_if_none_match.as_deref(),
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let source_name = input.copy_source.unwrap_or_default();
    let owner = input.expected_source_bucket_owner;
    let (_, source) = copy::source(cx, &source_name, owner.as_deref(), &conditions)?;
    let (start, end) = source_range(&source, input.copy_source_range.as_deref())?;
    let is_whole = (start, end) == (0, source.size);
    let pieces = copy::share(cx, &range::cut(&source.pieces, start, end))?;
    let is_plain = is_whole && !source.etag.contains('-');
    let etag =
        if is_plain { source.etag.clone() } else { hex(&md5(format!("{} {start}-{end}", source.etag).as_bytes())) };
    let checksum = source.checksum.clone().filter(|checksum| is_whole && !checksum.is_composite);
    let mut result = api::CopyPartResult {
        e_tag: Some(format!("\"{etag}\"")),
        last_modified: Some(cx.now().into()),
        ..api::CopyPartResult::default()
    };
    set_checksum!(result, &checksum);
    put(cx, &name, number, etag, pieces, checksum)?;
    Ok(api::UploadPartCopyOutput { copy_part_result: Some(result), ..api::UploadPartCopyOutput::default() })
}

fn number(number: Option<i32>) -> Result<u32, ApiError> {
    let number = number.unwrap_or_default();
    u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        error::invalid_argument("partNumber", &number.to_string(), message)
    })
}

/// A part has the checksum that its upload was begun with.
fn check_algorithm(upload: &Upload, checksum: &ObjectChecksum) -> Result<(), ApiError> {
    match &upload.checksum_algorithm {
        Some(expected) if *expected != checksum.algorithm => {
            // What a client does not name is computed as CRC-64 here.
            let is_named = checksum.algorithm != Algorithm::Crc64Nvme.as_str();
            let actual = if is_named { checksum.algorithm.to_lowercase() } else { "null".to_owned() };
            let expected = expected.to_lowercase();
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
            );
            Err(error::invalid_request(&message))
        }
        _ => Ok(()),
    }
}

/// Reads the range of a source, which must be written out and lie in it.
fn source_range(source: &Object, range: Option<&str>) -> Result<(u64, u64), ApiError> {
    let Some(range) = range else { return Ok((0, source.size)) };
    let last = range.rsplit_once('-').and_then(|(_, last)| last.parse::<u64>().ok());
    match (ByteRange::parse(range, source.size), last) {
        (ByteRange::Part(start, end), Some(last)) if !range.contains("=-") && last < source.size => Ok((start, end)),
        (ByteRange::Part(..) | ByteRange::Unsatisfiable, Some(_)) if !range.contains("=-") => {
            let message = format!("Range specified is not valid for source object of size: {}", source.size);
            Err(error::invalid_argument("x-amz-copy-source-range", range, &message))
        }
        _ => {
            let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last \
                           are the zero-based offsets of the first and last bytes to copy";
            Err(error::invalid_argument("x-amz-copy-source-range", range, message))
        }
    }
}

fn put(
    cx: &Cx,
    name: &UploadName,
    number: u32,
    etag: String,
    pieces: Vec<Piece>,
    checksum: Option<ObjectChecksum>,
) -> Result<(), ApiError> {
    let size = pieces.iter().map(|piece| piece.length).sum();
    let part = Part { etag, size, last_modified: cx.now(), pieces, checksum };
    cx.state.s3.put_part(name, number, part).map_err(|_| error::no_such_upload(&name.2))
}
