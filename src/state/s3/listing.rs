//! Lists the keys of a bucket as if they were paths.

use std::sync::Arc;

use super::{Object, S3, everywhere};

/// What is to be listed.
#[derive(Clone, Copy, Debug)]
pub struct ListingRequest<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// What the keys begin with.
    pub prefix: &'a str,
    /// What ends a common prefix; empty for none.
    pub delimiter: &'a str,
    /// The entry (key or common prefix) after which the listing begins; empty for none.
    pub after: &'a str,
    /// How many entries it has at most.
    pub entries_max: usize,
}

/// Something listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object with its key.
    Object(String, Arc<Object>),
    /// All keys that begin like this.
    Prefix(String),
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entries, in the order of their bytes.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub is_truncated: bool,
}

impl Entry {
    /// Returns the key or the common prefix.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

impl S3 {
    /// Lists keys. Those below a common prefix are skipped, so that the cost is that of what is listed.
    pub fn list(&self, request: ListingRequest<'_>) -> Listing {
        let ListingRequest { bucket, prefix, delimiter, after, entries_max } = request;
        let mut listing = Listing { entries: Vec::new(), is_truncated: false };
        if entries_max == 0 {
            return listing;
        }
        let mut from = prefix.max(after).to_owned();
        'walk: loop {
            for ((of, key), object) in self.objects.walk_from(everywhere(), (bucket.to_owned(), from.clone())) {
                if of != bucket || !key.starts_with(prefix) {
                    return listing;
                }
                let common = common_prefix(&key, prefix, delimiter).map(str::to_owned);
                let entry = match &common {
                    Some(common) => Entry::Prefix(common.clone()),
                    None => Entry::Object(key, object),
                };
                // A prefix that a page ended with is not listed again, even though there are more keys below it.
                let is_listed = listing.entries.last().is_some_and(|last| last.name() == entry.name());
                if !is_listed && entry.name() != after {
                    if listing.entries.len() == entries_max {
                        listing.is_truncated = true;
                        return listing;
                    }
                    listing.entries.push(entry);
                }
                let past = common.and_then(|common| past(&common));
                if let Some(past) = past {
                    from = past;
                    continue 'walk;
                }
            }
            return listing;
        }
    }
}

/// Returns the part of a key up to the first delimiter behind the prefix.
fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let found = key.get(prefix.len()..)?.find(delimiter)?;
    key.get(..prefix.len() + found + delimiter.len())
}

/// Returns the least text that is greater than all that begin with `prefix`; none if its last character is the greatest.
fn past(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    let last = text.pop()?;
    // Behind the last one before the surrogates come those after them.
    let next = if last == '\u{d7ff}' { '\u{e000}' } else { char::from_u32(u32::from(last) + 1)? };
    text.push(next);
    Some(text)
}
