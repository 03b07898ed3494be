//! Tags in responses.

use api::ec2 as api;
use state::Tag;

/// Shows tags.
pub(crate) fn view(tags: &[Tag]) -> Vec<api::Tag> {
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    tags.iter().map(view).collect()
}

/// Shows tags of a resource that bears no list where it has none.
pub(crate) fn view_if_any(tags: &[Tag]) -> Option<Vec<api::Tag>> {
    (!tags.is_empty()).then(|| view(tags))
}
