//! Pages of listings: how many, and from where.

use std::ops::Bound;

use base::PageToken;
use state::ecs::TaskDefinitionName;

use crate::{Result, invalid};

/// How many items a page holds.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Unless the request says.
    pub(crate) default: usize,
    /// At most.
    pub(crate) max: usize,
}

/// The page size of most listings.
const USUAL: Size = Size { default: 100, max: 100 };

/// Where a page begins and how long it may be.
pub(crate) struct Request {
    pub(crate) after: Option<String>,
    pub(crate) size: usize,
}

/// Checks `maxResults` and `nextToken` of a listing of the usual page size.
pub(crate) fn request(listing: &str, max_results: Option<i32>, token: Option<&str>) -> Result<Request> {
    request_of(USUAL, listing, max_results, token)
}

/// Checks `maxResults` and `nextToken` of a listing. (Texts unverified: SDKs check the range before they send.)
pub(crate) fn request_of(sizes: Size, listing: &str, max_results: Option<i32>, token: Option<&str>) -> Result<Request> {
    let Size { default, max } = sizes;
    let size = match max_results {
        None => default,
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|size| (1..=max).contains(size))
            .ok_or_else(|| invalid(format!("maxResults must be between 1 and {max}.")))?,
    };
    let after = token.map(|token| PageToken::decode(listing, token)).transpose();
    Ok(Request { after: after.map_err(|_| invalid("Invalid token."))?, size })
}

/// Narrows a stretch of a listing that is sorted by family and revision to what comes after the last page.
pub(crate) fn rest_of(
    (start, end): (Bound<TaskDefinitionName>, Bound<TaskDefinitionName>),
    after: Option<TaskDefinitionName>,
    is_descending: bool,
) -> (Bound<TaskDefinitionName>, Bound<TaskDefinitionName>) {
    // A token may be one of a listing with another filter, and lie outside of the stretch.
    match (after, &start, &end) {
        (None, _, _) => (start, end),
        (Some(after), _, Bound::Included(last) | Bound::Excluded(last)) if is_descending && after > *last => {
            (start, end)
        }
        (Some(after), _, _) if is_descending => (start, Bound::Excluded(after)),
        (Some(after), Bound::Included(first) | Bound::Excluded(first), _) if after < *first => (start, end),
        (Some(after), _, _) => (Bound::Excluded(after), end),
    }
}
