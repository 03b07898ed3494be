//! Listings of keys, in both versions.

use api::s3 as api;
use base::PageToken;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use state::Cx;
use state::s3::{Bucket, Entry, Listing, ListingRequest, Object};
use wire::ApiError;

use crate::{bucket, checksum, error, key};

/// The most keys of a page, as in S3. A client that asks for more gets this many.
const KEYS_MAX: i32 = 1000;
/// What page tokens of version 2 are for.
const LISTING: &str = "ListObjectsV2";
/// What `encoding-type=url` escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// Lists keys, going on behind a key that the client names.
pub(crate) async fn list_objects(
    cx: &Cx,
    input: api::ListObjectsRequest,
) -> Result<api::ListObjectsOutput, api::Error> {
    let (name, bucket) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let marker = input.marker.unwrap_or_default();
    let max_keys = size("max-keys", input.max_keys)?;
    let listing = list(cx, &name, &prefix, &delimiter, &marker, max_keys);
    let encoding = Encoding::new(input.encoding_type);
    let last = listing.entries.last().filter(|_| listing.is_truncated && !delimiter.is_empty());
    let next_marker = last.map(|last| encoding.encode(last.name()));
    let is_truncated = listing.is_truncated;
    // Version 1 always names the owner.
    let (contents, common_prefixes) = split(listing, &encoding, Some(&bucket));
    Ok(api::ListObjectsOutput {
        is_truncated: Some(is_truncated),
        marker: Some(encoding.encode(&marker)),
        next_marker,
        contents: Some(contents),
        name: Some(name),
        prefix: Some(encoding.encode(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.encode(&delimiter)),
        max_keys: Some(max_keys),
        common_prefixes: Some(common_prefixes),
        encoding_type: encoding.0,
        request_charged: None,
    })
}

/// Lists keys, going on where a token says.
pub(crate) async fn list_objects_v2(
    cx: &Cx,
    input: api::ListObjectsV2Request,
) -> Result<api::ListObjectsV2Output, api::Error> {
    let (name, bucket) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let max_keys = size("max-keys", input.max_keys)?;
    let token = input.continuation_token;
    let after = match &token {
        Some(token) => PageToken::decode(LISTING, token).map_err(|_| {
            error::invalid_argument("continuation-token", token, "The continuation token provided is incorrect")
        })?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let listing = list(cx, &name, &prefix, &delimiter, &after, max_keys);
    let encoding = Encoding::new(input.encoding_type);
    let last = listing.entries.last().filter(|_| listing.is_truncated);
    let next = last.map(|last| PageToken::new(LISTING, last.name()).to_string());
    let (is_truncated, count) = (listing.is_truncated, listing.entries.len());
    let owner = input.fetch_owner.unwrap_or(false).then_some(&*bucket);
    let (contents, common_prefixes) = split(listing, &encoding, owner);
    Ok(api::ListObjectsV2Output {
        is_truncated: Some(is_truncated),
        contents: Some(contents),
        name: Some(name),
        prefix: Some(encoding.encode(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.encode(&delimiter)),
        max_keys: Some(max_keys),
        common_prefixes: Some(common_prefixes),
        key_count: i32::try_from(count).ok(),
        continuation_token: token,
        next_continuation_token: next,
        start_after: input.start_after.map(|after| encoding.encode(&after)),
        encoding_type: encoding.0,
        request_charged: None,
    })
}

/// How names are written: XML cannot hold every character that a key can.
pub(crate) struct Encoding(pub(crate) Option<api::EncodingType>);

impl Encoding {
    pub(crate) fn new(asked: Option<api::EncodingType>) -> Self {
        Self(asked)
    }

    pub(crate) fn encode(&self, name: &str) -> String {
        if self.0.is_some() { utf8_percent_encode(name, ESCAPED).to_string() } else { name.to_owned() }
    }
}

/// Reads how many entries a page is to have.
pub(crate) fn size(argument: &str, asked: Option<i32>) -> Result<i32, ApiError> {
    match asked {
        None => Ok(KEYS_MAX),
        Some(asked) if asked >= 0 => Ok(asked.min(KEYS_MAX)),
        Some(asked) => {
            let message = format!("Argument {argument} must be an integer between 0 and 2147483647");
            Err(error::invalid_argument(argument, &asked.to_string(), &message))
        }
    }
}

fn list(cx: &Cx, bucket: &str, prefix: &str, delimiter: &str, after: &str, size: i32) -> Listing {
    let entries_max = usize::try_from(size).unwrap_or_default();
    cx.state.s3.list(ListingRequest { bucket, prefix, delimiter, after, entries_max })
}

fn split(listing: Listing, encoding: &Encoding, owner: Option<&Bucket>) -> (Vec<api::Object>, Vec<api::CommonPrefix>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in listing.entries {
        match entry {
            Entry::Object(key, object) => contents.push(view(&key, &object, encoding, owner)),
            Entry::Prefix(prefix) => prefixes.push(api::CommonPrefix { prefix: Some(encoding.encode(&prefix)) }),
        }
    }
    (contents, prefixes)
}

fn view(key: &str, object: &Object, encoding: &Encoding, owner: Option<&Bucket>) -> api::Object {
    let algorithm = object.checksum.as_ref().map(|checksum| checksum.algorithm.as_str().into());
    api::Object {
        key: Some(encoding.encode(key)),
        last_modified: Some(object.last_modified.into()),
        e_tag: Some(format!("\"{}\"", object.etag)),
        checksum_algorithm: algorithm.map(|algorithm| vec![algorithm]),
        checksum_type: object.checksum.as_ref().map(checksum::kind),
        size: i64::try_from(object.size).ok(),
        storage_class: Some(object.description.storage_class.as_deref().unwrap_or("STANDARD").into()),
        owner: owner.map(|bucket| bucket::owner(bucket.owner.as_str())),
        restore_status: None,
    }
}
