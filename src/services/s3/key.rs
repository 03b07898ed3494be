//! What a request names: its bucket, which the caller may use, and its key.

use std::sync::Arc;

use state::Cx;
use state::s3::Bucket;
use wire::ApiError;

use crate::error;

/// The longest key, in bytes, as in S3.
const KEY_BYTES_MAX: usize = 1024;

/// Finds a bucket that the caller may use: its owner, and whoever does not sign, as there are no policies here.
pub(crate) fn bucket(
    cx: &Cx,
    name: Option<String>,
    expected_owner: Option<&str>,
) -> Result<(String, Arc<Bucket>), ApiError> {
    let name = name.unwrap_or_default();
    let bucket = cx.state.s3.bucket(&name).ok_or_else(|| error::no_such_bucket(&name))?;
    let is_signed = cx.caller.access_key_id.is_some();
    if is_signed && bucket.owner != cx.scope().account
        || expected_owner.is_some_and(|owner| owner != bucket.owner.as_str())
    {
        return Err(error::access_denied());
    }
    Ok((name, bucket))
}

/// Checks a key that something is put under.
pub(crate) fn new_key(key: Option<String>) -> Result<String, ApiError> {
    let key = key.unwrap_or_default();
    if key.len() > KEY_BYTES_MAX {
        return Err(ApiError::client("KeyTooLongError", "Your key is too long"));
    }
    Ok(key)
}

/// Checks the id of a version: the one that there is has none.
pub(crate) fn version(id: Option<&str>) -> Result<(), ApiError> {
    match id {
        None | Some("null") => Ok(()),
        Some(id) => Err(error::invalid_argument("versionId", id, "Invalid version id specified")),
    }
}

/// Checks the name of a new bucket.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.chars().all(|c| is_end(c) || c == '-' || c == '.')
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_buckets_keep_to_the_rules() {
        for name in ["abc", "a.b-c.9", &"a".repeat(63)] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in
            ["ab", "Abc", "a_b", "-abc", "abc.", "a..b", "10.0.0.1", "xn--abc", "abc-s3alias", &"a".repeat(64), "ä-b"]
        {
            assert!(!is_bucket_name(name), "{name}");
        }
    }
}
