//! Pages: markers, sizes, and whether there is more.

use base::{Page, PageToken};

use crate::Result;
use crate::entity::validation_error;

/// How many items a page has unless the request says; it may say 1 to 1000.
const PAGE_SIZE: usize = 100;

/// What all listings are asked.
#[derive(Debug, Default)]
pub(crate) struct Paging {
    pub(crate) marker: Option<String>,
    pub(crate) max_items: Option<i32>,
}

/// One page, and how the response says what follows.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) is_truncated: Option<bool>,
    pub(crate) marker: Option<String>,
}

impl Paging {
    /// Cuts the page of a listing. `from` gives what follows a key, with keys, in their order.
    pub(crate) fn cut<T, I: Iterator<Item = (String, T)>>(
        self,
        listing: &'static str,
        from: impl FnOnce(Option<String>) -> I,
    ) -> Result<Listed<T>> {
        let after = self.marker.map(|marker| PageToken::decode(listing, &marker)).transpose();
        // Text unverified.
        let after = after.map_err(|_| validation_error("Invalid Marker."))?;
        let size = self.max_items.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
        let page = Page::cut(listing, size, from(after), |(key, _)| key.clone());
        let items = page.items.into_iter().map(|(_, item)| item).collect();
        Ok(Listed { items, is_truncated: Some(page.next.is_some()), marker: page.next })
    }

    /// Cuts the page of a listing whose items have their places for keys.
    pub(crate) fn cut_list<T>(self, listing: &'static str, items: Vec<T>) -> Result<Listed<T>> {
        self.cut(listing, |after| {
            let seen = after.and_then(|place| place.parse::<usize>().ok()).map_or(0, |place| place + 1);
            items.into_iter().enumerate().skip(seen).map(|(place, item)| (place.to_string(), item))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once() {
        let (mut seen, mut marker) = (Vec::new(), None);
        loop {
            let page =
                Paging { marker, max_items: Some(2) }.cut_list("Letters", vec!["a", "b", "c", "d", "e"]).unwrap();
            seen.extend(page.items);
            assert_eq!(page.is_truncated, Some(page.marker.is_some()));
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_page_has_a_hundred_items_unless_the_request_says() {
        let page = Paging::default().cut_list("Numbers", (0..101).collect()).unwrap();
        assert_eq!((page.items.len(), page.is_truncated), (100, Some(true)));
    }

    #[test]
    fn a_foreign_marker_is_refused() {
        let paging = Paging { marker: Some("x".to_owned()), max_items: None };
        let error = wire::ApiError::from(paging.cut_list("Letters", vec!["a"]).unwrap_err());
        assert_eq!((error.code(), error.message()), ("ValidationError", "Invalid Marker."));
    }
}
