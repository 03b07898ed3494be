//! Revisions: where an AppSpec is, and which of them an application knows.

use base::{Region, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::AppSpec;
use crate::s3::S3;
use crate::{Document, Record};

/// An object of S3 that is an AppSpec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionObject {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version, if one is meant.
    pub version: Option<String>,
    /// The ETag that it must have, if one is meant; without quotes.
    pub etag: Option<String>,
}

/// Why an object is no AppSpec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAppSpec {
    /// It is not there, or not so.
    Missing,
    /// It cannot be read: why.
    Unreadable(String),
    /// It is no AppSpec: what is wrong with it.
    Invalid(String),
}

/// What names a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RevisionKey {
    /// The application.
    pub application: String,
    /// The SHA-256 of its location: that may be a whole AppSpec.
    pub digest: String,
}

impl RevisionKey {
    /// Names the revision at a location.
    pub fn new(application: &str, location: &Document) -> Self {
        let digest = hex::encode(Sha256::digest(location.as_str()));
        Self { application: application.to_owned(), digest }
    }
}

/// A revision that an application knows: it was registered, or deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Where it is, as requests and responses say it.
    pub location: Document,
    /// Where in S3 it is.
    pub object: Option<RevisionObject>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was first known.
    pub registered_at: Timestamp,
    /// When it was first deployed.
    pub first_used_at: Option<Timestamp>,
    /// When it was last deployed.
    pub last_used_at: Option<Timestamp>,
}

impl Record for Revision {}

impl RevisionObject {
    /// What a version is called in a bucket without versions, as they all are here.
    const NO_VERSION: &'static str = "null";

    /// Reads the AppSpec from a bucket of a region. Blocks on the disk.
    pub fn read(&self, s3: &S3, region: &Region) -> Result<AppSpec, NoAppSpec> {
        let bucket = s3.bucket(&self.bucket).filter(|bucket| bucket.region == *region);
        let object = bucket.and_then(|_| s3.object(&self.bucket, &self.key)).ok_or(NoAppSpec::Missing)?;
        let is_meant = self.etag.as_ref().is_none_or(|etag| *etag == object.etag)
            && self.version.as_ref().is_none_or(|version| version == Self::NO_VERSION);
        if !is_meant {
            return Err(NoAppSpec::Missing);
        }
        let bytes = s3.read_object(&object, AppSpec::BYTES_MAX as u64);
        let bytes = bytes.map_err(|error| NoAppSpec::Unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| NoAppSpec::Invalid("it is not UTF-8".to_owned()))?;
        AppSpec::parse(&text).map_err(NoAppSpec::Invalid)
    }
}
