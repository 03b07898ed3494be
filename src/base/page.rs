//! Pagination: a page of a sorted listing, and the opaque token that names where the next one begins.

use std::fmt;

/// A page token that this server did not make, or made for another listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page token is not one of this listing")]
pub struct PageTokenError;

/// Where a listing goes on: the key of the last item that the client has seen.
///
/// The token holds the key itself, not an index, so it survives inserts and deletes between two pages. To the client it
/// is an opaque string; it names its listing, so that a token of another operation is refused.
#[derive(Clone, PartialEq, Eq)]
pub struct PageToken {
    listing: &'static str,
    after: String,
}

impl PageToken {
    /// Makes the token of `listing` that goes on after the key `after`.
    pub fn new(listing: &'static str, after: impl Into<String>) -> Self {
        Self { listing, after: after.into() }
    }

    /// Reads the key back from a client's token of the same listing.
    pub fn decode(listing: &str, token: &str) -> Result<String, PageTokenError> {
        let bytes = from_hex(token).ok_or(PageTokenError)?;
        let (sum, text) = bytes.split_at_checked(4).ok_or(PageTokenError)?;
        let text = std::str::from_utf8(text).map_err(|_| PageTokenError)?;
        if sum != checksum(text).to_be_bytes() {
            return Err(PageTokenError);
        }
        let after = text.strip_prefix(listing).and_then(|rest| rest.strip_prefix('\n'));
        after.map(str::to_owned).ok_or(PageTokenError)
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}\n{}", self.listing, self.after);
        write!(f, "{:08x}", checksum(&text))?;
        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the listing's order.
    pub items: Vec<T>,
    /// The token of the next page; none on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page of at most `size` items out of `sorted`, which yields only what follows the last page's key.
    pub fn cut(
        listing: &'static str,
        size: usize,
        sorted: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> Self {
        let mut rest = sorted.into_iter();
        let items = rest.by_ref().take(size).collect::<Vec<_>>();
        let has_more = rest.next().is_some();
        let last = if has_more { items.last() } else { None };
        let next = last.map(|last| PageToken::new(listing, key(last)).to_string());
        Self { items, next }
    }
}

/// FNV-1a: tells a damaged token from a whole one, no more.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|b| char::from(b).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let pairs = digits.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    is_whole.then(|| pairs.filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_listing_once() {
        let all = ["a", "b", "c", "d", "e"];
        let first = Page::cut("Letters", 2, all, |s| (*s).to_owned());
        assert_eq!(first.items, ["a", "b"]);
        let after = PageToken::decode("Letters", &first.next.unwrap()).unwrap();
        assert_eq!(after, "b");
        let rest = Page::cut("Letters", 3, all.into_iter().filter(|s| **s > *after), |s| (*s).to_owned());
        assert_eq!((rest.items, rest.next), (vec!["c", "d", "e"], None));
    }

    #[test]
    fn a_foreign_or_damaged_token_is_refused() {
        let token = PageToken::new("ListTasks", "x").to_string();
        assert_eq!(PageToken::decode("ListClusters", &token), Err(PageTokenError));
        for bad in ["", "zz", "0", "00000000", &token[1..], &format!("{token}00"), "é"] {
            assert_eq!(PageToken::decode("ListTasks", bad), Err(PageTokenError), "{bad}");
        }
    }
}
