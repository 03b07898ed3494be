//! Uploads in parts.

pub(crate) mod abort;
pub(crate) mod complete;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod part;

use std::sync::Arc;

use state::Cx;
use state::s3::{Upload, UploadName};
use wire::ApiError;

use crate::error;

/// The most parts of an upload, and the greatest number of one, as in S3.
const PARTS_MAX: u32 = 10_000;

/// Finds an upload.
fn upload(cx: &Cx, bucket: &str, key: &str, id: Option<String>) -> Result<(UploadName, Arc<Upload>), ApiError> {
    let id = id.unwrap_or_default();
    let name = (bucket.to_owned(), key.to_owned(), id);
    let upload = cx.state.s3.upload(&name).ok_or_else(|| error::no_such_upload(&name.2))?;
    Ok((name, upload))
}
