//! Pages of listings: how many, and from where.

use base::PageToken;

use crate::{Result, invalid};

/// The page size of most listings, both by default and at most.
const PAGE_SIZE: usize = 100;

/// Where a page begins and how long it may be.
pub(crate) struct Request {
    pub(crate) after: Option<String>,
    pub(crate) size: usize,
}

/// Checks `maxResults` and `nextToken` of a listing. (Texts unverified: SDKs check the range before they send.)
pub(crate) fn request(listing: &str, max_results: Option<i32>, token: Option<&str>) -> Result<Request> {
    let size = match max_results {
        None => PAGE_SIZE,
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|size| (1..=PAGE_SIZE).contains(size))
            .ok_or_else(|| invalid(format!("maxResults must be between 1 and {PAGE_SIZE}.")))?,
    };
    let after = token.map(|token| PageToken::decode(listing, token)).transpose();
    Ok(Request { after: after.map_err(|_| invalid("Invalid token."))?, size })
}
