//! The Describe operations: some ids or all, filters, pages.

use api::ec2 as api;
use base::{Page, PageToken};

use crate::filter::{Filtered, Filters};
use crate::resource_id::Kind;
use crate::{Result, error, refuse_dry_run};

/// How many items a page has at most, and unless fewer are asked for.
const PAGE_SIZE: usize = 1000;

/// A resource that can be described.
pub(crate) trait Described: Filtered {
    /// Its ids.
    const KIND: Kind;
    /// The operation that describes it.
    const LISTING: &'static str;

    /// Returns its id.
    fn id(&self) -> &str;
}

/// What all Describe operations are asked.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) filters: Option<Vec<api::Filter>>,
    pub(crate) max_results: Option<i32>,
    pub(crate) next_token: Option<String>,
    pub(crate) dry_run: Option<bool>,
}

/// Answers a request: with `get` for the ids that it names, or with `walk`, which goes on after an id.
pub(crate) fn describe<T: Described, I: Iterator<Item = T>>(
    request: Request,
    get: impl Fn(&str) -> Option<T>,
    walk: impl FnOnce(Option<String>) -> I,
) -> Result<Page<T>> {
    let filters = Filters::<T>::parse(request.filters)?;
    // The model bounds the size from 5 to 1000.
    let size = request.max_results.and_then(|size| usize::try_from(size).ok()).map_or(PAGE_SIZE, |n| n.min(PAGE_SIZE));
    let after = request.next_token.map(|token| PageToken::decode(T::LISTING, &token)).transpose();
    // Text unverified.
    let after = after.map_err(|_| error("InvalidParameterValue", "Unable to parse pagination token"))?;
    let ids = request.ids.unwrap_or_default();
    let named = named(&ids, get)?;
    refuse_dry_run(request.dry_run)?;
    let key = |resource: &T| resource.id().to_owned();
    Ok(if ids.is_empty() {
        Page::cut(T::LISTING, size, walk(after).filter(|resource| filters.pass(resource)), key)
    } else {
        let is_next = |resource: &T| after.as_deref().is_none_or(|after| resource.id() > after);
        Page::cut(T::LISTING, size, named.into_iter().filter(|it| is_next(it) && filters.pass(it)), key)
    })
}

/// Finds the resources that a request names, each once, sorted. One that does not exist fails them all.
fn named<T: Described>(ids: &[String], get: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    ids.iter().try_for_each(|id| T::KIND.check(id))?;
    let mut ids = ids.iter().collect::<Vec<_>>();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| get(id).ok_or_else(|| T::KIND.not_found(id))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use super::*;
    use crate::testing::fails;

    fn vpc(id: &str) -> api::Vpc {
        api::Vpc { vpc_id: Some(id.to_owned()), ..Default::default() }
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("vpc-{n:08x}")).collect()
    }

    fn describe_of(count: usize, request: Request) -> Result<(Vec<String>, Option<String>)> {
        let all = ids(count).into_iter().map(|id| (id.clone(), vpc(&id))).collect::<BTreeMap<_, _>>();
        let walk = |after: Option<String>| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            all.range((start, Bound::Unbounded)).map(|(_, vpc)| vpc.clone()).collect::<Vec<_>>().into_iter()
        };
        let page = describe(request, |id| all.get(id).cloned(), walk)?;
        Ok((page.items.into_iter().map(|vpc| vpc.vpc_id.unwrap()).collect(), page.next))
    }

    #[test]
    fn pages_cover_all_once_with_and_without_ids() {
        for named in [None, Some(ids(12))] {
            let (mut seen, mut next_token) = (Vec::new(), None);
            loop {
                let ids = named.clone();
                let request = Request { ids, max_results: Some(5), next_token, ..Default::default() };
                let (page, next) = describe_of(12, request).unwrap();
                seen.extend(page);
                next_token = next;
                if next_token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, ids(12));
        }
    }

    #[test]
    fn a_page_has_a_thousand_unless_fewer_are_asked_for() {
        let (page, next) = describe_of(1001, Request::default()).unwrap();
        assert_eq!((page.len(), next.is_some()), (1000, true));
    }

    #[test]
    fn ids_are_shown_once_in_their_order() {
        let twice = vec!["vpc-00000002".to_owned(), "vpc-00000001".to_owned(), "vpc-00000002".to_owned()];
        let request = Request { ids: Some(twice), ..Default::default() };
        assert_eq!(describe_of(3, request).unwrap().0, ["vpc-00000001", "vpc-00000002"]);
    }

    #[test]
    fn a_bad_id_or_token_fails_the_request() {
        let with = |id: &str| Request { ids: Some(vec![id.to_owned()]), ..Default::default() };
        let message = "The vpc ID 'vpc-00000009' does not exist";
        fails(describe_of(1, with("vpc-00000009")), "InvalidVpcID.NotFound", message);
        fails(describe_of(1, with("vpc-x")), "InvalidVpcID.Malformed", "Invalid id: \"vpc-x\"");
        let token = Request { next_token: Some("x".to_owned()), ..Default::default() };
        fails(describe_of(1, token), "InvalidParameterValue", "Unable to parse pagination token");
    }

    #[test]
    fn a_dry_run_says_that_it_would_have_succeeded() {
        let request = Request { dry_run: Some(true), ..Default::default() };
        let error = wire::ApiError::from(describe_of(1, request).unwrap_err());
        assert_eq!((error.code(), error.status()), ("DryRunOperation", 412));
        assert_eq!(error.message(), "Request would have succeeded, but DryRun flag is set.");
    }
}
