//! The records of S3: buckets, objects, and objects in the making.

use std::collections::BTreeMap;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

use super::blobs::BlobId;
use crate::Record;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The account that it belongs to.
    pub owner: AccountId,
    /// The region that it was made in.
    pub region: Region,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file. No other piece has it.
    pub blob: BlobId,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it has; never 0.
    pub length: u64,
}

/// What a client says about an object besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`, as it was sent.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect_location: Option<String>,
    /// `x-amz-storage-class`; none for `STANDARD`.
    pub storage_class: Option<String>,
    /// `x-amz-meta-…`.
    pub metadata: BTreeMap<String, String>,
}

/// A checksum beside the ETag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChecksum {
    /// Its algorithm, as in `CRC32`.
    pub algorithm: String,
    /// Its value in base 64; of a composite one with `-` and the number of parts behind it.
    pub value: String,
    /// Whether it is of the checksums of the parts instead of the bytes.
    pub is_composite: bool,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its entity tag, without quotes.
    pub etag: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was put.
    pub last_modified: Timestamp,
    /// Where its bytes are, in their order.
    pub pieces: Vec<Piece>,
    /// The sizes of its parts, if it was uploaded in parts.
    pub part_sizes: Vec<u64>,
    /// Its checksum.
    pub checksum: Option<ObjectChecksum>,
    /// What its client said about it.
    pub description: Description,
}

/// An object that is being uploaded in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// When it was begun.
    pub initiated_at: Timestamp,
    /// The algorithm that was asked for.
    pub checksum_algorithm: Option<String>,
    /// Whether the object's checksum will be of those of its parts.
    pub is_checksum_composite: bool,
    /// What its client said about it.
    pub description: Description,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its entity tag, without quotes.
    pub etag: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was put.
    pub last_modified: Timestamp,
    /// Where its bytes are.
    pub pieces: Vec<Piece>,
    /// Its checksum; none if it was copied from a part of an object.
    pub checksum: Option<ObjectChecksum>,
}

impl Record for Bucket {}
impl Record for Object {}
impl Record for Upload {}
impl Record for Part {}
