//! S3's errors: code, status, words, and the elements that some have beside their message.

use wire::{ApiError, Kind, Member, Violation};

wire::structure! {
    /// What an error says beside code and message.
    Details {
        0 bucket_name: String = Member::new("BucketName");
        1 key: String = Member::new("Key");
        2 upload_id: String = Member::new("UploadId");
        3 part_number: i64 = Member::new("PartNumber");
        4 e_tag: String = Member::new("ETag");
        5 argument_name: String = Member::new("ArgumentName");
        6 argument_value: String = Member::new("ArgumentValue");
        7 range_requested: String = Member::new("RangeRequested");
        8 actual_object_size: i64 = Member::new("ActualObjectSize");
        9 proposed_size: i64 = Member::new("ProposedSize");
        10 min_size_allowed: i64 = Member::new("MinSizeAllowed");
        11 condition: String = Member::new("Condition");
    }
}

fn with(error: ApiError, details: Details) -> ApiError {
    error.with_payload(Box::new(details))
}

fn of_bucket(code: &str, status: u16, message: &str, bucket: &str) -> ApiError {
    with(ApiError::new(code, status, message), Details { bucket_name: Some(bucket.to_owned()), ..Details::default() })
}

/// Words requests that the model forbids. Most of what it forbids S3 lets pass, or words when it comes to it.
pub(crate) fn violation(found: &[Violation]) -> Option<ApiError> {
    found.iter().find_map(|violation| match (&violation.kind, violation.path.as_str()) {
        (Kind::Required, _) => Some(ApiError::malformed_xml()),
        (Kind::Enum { .. }, "x-amz-storage-class") => {
            Some(ApiError::client("InvalidStorageClass", "The storage class you specified is not valid"))
        }
        (Kind::Enum { actual, .. }, "encoding-type") => {
            Some(invalid_argument("encoding-type", actual, "Invalid Encoding Method specified in Request"))
        }
        (Kind::Enum { actual, .. }, "x-amz-metadata-directive") => {
            Some(invalid_argument("x-amz-metadata-directive", actual, "Unknown metadata directive."))
        }
        (Kind::Enum { .. }, "x-amz-checksum-algorithm" | "x-amz-sdk-checksum-algorithm") => {
            // (unverified)
            Some(ApiError::client("InvalidRequest", "Checksum algorithm provided is unsupported."))
        }
        (Kind::Enum { .. }, path) if path.ends_with("LocationConstraint") => Some(invalid_location()),
        _ => None,
    })
}

pub(crate) fn no_such_bucket(bucket: &str) -> ApiError {
    of_bucket("NoSuchBucket", 404, "The specified bucket does not exist", bucket)
}

pub(crate) fn bucket_not_empty(bucket: &str) -> ApiError {
    of_bucket("BucketNotEmpty", 409, "The bucket you tried to delete is not empty", bucket)
}

pub(crate) fn invalid_bucket_name(bucket: &str) -> ApiError {
    of_bucket("InvalidBucketName", 400, "The specified bucket is not valid.", bucket)
}

pub(crate) fn bucket_already_owned_by_you(bucket: &str) -> ApiError {
    let message = "Your previous request to create the named bucket succeeded and you already own it.";
    of_bucket("BucketAlreadyOwnedByYou", 409, message, bucket)
}

pub(crate) fn bucket_already_exists(bucket: &str) -> ApiError {
    let message = "The requested bucket name is not available. The bucket namespace is shared by all users of the \
                   system. Please select a different name and try again.";
    of_bucket("BucketAlreadyExists", 409, message, bucket)
}

pub(crate) fn invalid_location() -> ApiError {
    ApiError::client("InvalidLocationConstraint", "The specified location-constraint is not valid")
}

pub(crate) fn access_denied() -> ApiError {
    ApiError::new("AccessDenied", 403, "Access Denied")
}

pub(crate) fn no_such_key(key: &str) -> ApiError {
    let details = Details { key: Some(key.to_owned()), ..Details::default() };
    with(ApiError::new("NoSuchKey", 404, "The specified key does not exist."), details)
}

pub(crate) fn no_such_upload(upload_id: &str) -> ApiError {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                   aborted or completed.";
    let details = Details { upload_id: Some(upload_id.to_owned()), ..Details::default() };
    with(ApiError::new("NoSuchUpload", 404, message), details)
}

pub(crate) fn invalid_part(upload_id: &str, number: i32, etag: &str) -> ApiError {
    let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the \
                   specified entity tag may not match the part's entity tag.";
    let details = Details {
        upload_id: Some(upload_id.to_owned()),
        part_number: Some(number.into()),
        e_tag: Some(etag.to_owned()),
        ..Details::default()
    };
    with(ApiError::client("InvalidPart", message), details)
}

pub(crate) fn invalid_part_order(upload_id: &str) -> ApiError {
    let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
    let details = Details { upload_id: Some(upload_id.to_owned()), ..Details::default() };
    with(ApiError::client("InvalidPartOrder", message), details)
}

pub(crate) fn entity_too_small(size: u64, min: u64, number: u32, etag: &str) -> ApiError {
    let message = "Your proposed upload is smaller than the minimum allowed size";
    let details = Details {
        proposed_size: i64::try_from(size).ok(),
        min_size_allowed: i64::try_from(min).ok(),
        part_number: Some(number.into()),
        e_tag: Some(etag.to_owned()),
        ..Details::default()
    };
    with(ApiError::client("EntityTooSmall", message), details)
}

pub(crate) fn invalid_argument(name: &str, value: &str, message: &str) -> ApiError {
    let details =
        Details { argument_name: Some(name.to_owned()), argument_value: Some(value.to_owned()), ..Details::default() };
    with(ApiError::client("InvalidArgument", message), details)
}

pub(crate) fn invalid_range(range: &str, size: u64) -> ApiError {
    let details = Details {
        range_requested: Some(range.to_owned()),
        actual_object_size: i64::try_from(size).ok(),
        ..Details::default()
    };
    with(ApiError::new("InvalidRange", 416, "The requested range is not satisfiable"), details)
}

pub(crate) fn invalid_part_number() -> ApiError {
    ApiError::new("InvalidPartNumber", 416, "The requested partnumber is not satisfiable")
}

pub(crate) fn precondition_failed(condition: &str) -> ApiError {
    let details = Details { condition: Some(condition.to_owned()), ..Details::default() };
    let message = "At least one of the pre-conditions you specified did not hold";
    with(ApiError::new("PreconditionFailed", 412, message), details)
}

pub(crate) fn not_modified() -> ApiError {
    ApiError::new("NotModified", 304, "Not Modified")
}

pub(crate) fn invalid_request(message: &str) -> ApiError {
    ApiError::client("InvalidRequest", message)
}

/// Makes the error of a header that asks for something that S3 itself does not do.
pub(crate) fn header_not_implemented() -> ApiError {
    ApiError::new("NotImplemented", 501, "A header you provided implies functionality that is not implemented")
}

/// Logs what is wrong with the store, and makes the error that the client sees.
pub(crate) fn broken(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "the store of objects does not work");
    ApiError::new("InternalError", 500, "We encountered an internal error. Please try again.")
}
