//! Pages of listings: how many, and from where.

use base::{Page, PageToken};
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

/// Cuts a page of what is sorted by family and revision. Descending listings are rare and short; they are turned around
/// as a whole.
pub(crate) fn cut_by_name<T>(
    listing: &'static str,
    size: usize,
    ascending: impl Iterator<Item = T>,
    is_descending: bool,
    after: Option<TaskDefinitionName>,
    name: impl Fn(&T) -> &TaskDefinitionName,
) -> Page<T> {
    let key = |item: &T| name(item).to_string();
    if is_descending {
        let mut all = ascending.collect::<Vec<_>>();
        all.reverse();
        let rest = all.into_iter().filter(|item| after.as_ref().is_none_or(|after| name(item) < after));
        return Page::cut(listing, size, rest, key);
    }
    let rest = ascending.filter(|item| after.as_ref().is_none_or(|after| name(item) > after));
    Page::cut(listing, size, rest, key)
}
