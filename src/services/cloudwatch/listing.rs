//! Pages of listings.

use base::PageToken;

use crate::{Error, Result};

/// How many items a page has unless the request says; it may say 1 to 100.
const PAGE_SIZE: usize = 50;

/// Reads the key that a page goes on after.
pub(crate) fn after(listing: &str, token: Option<String>) -> Result<Option<String>> {
    let after = token.map(|token| PageToken::decode(listing, &token)).transpose();
    // Text unverified.
    after.map_err(|_| Error::InvalidNextToken("The NextToken is not valid.".to_owned()))
}

/// Reads a page's size.
pub(crate) fn size(max_records: Option<i32>) -> usize {
    max_records.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE)
}
