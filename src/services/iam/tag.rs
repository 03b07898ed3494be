//! Tags of roles, policies, profiles and users.

use std::collections::BTreeSet;

use api::iam as api;
use state::Tag;

use crate::{Error, Result};

/// How many tags a resource has at most.
const TAGS_MAX: usize = 50;
/// How tag keys begin that are AWS's own.
const RESERVED_PREFIX: &str = "aws:";

/// Reads the tags of a request.
pub(crate) fn read(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    let tags = tags.unwrap_or_default().into_iter().map(read).collect::<Vec<_>>();
    let keys = tags.iter().map(|tag| tag.key.to_lowercase()).collect::<BTreeSet<_>>();
    if keys.len() < tags.len() {
        let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(Error::InvalidInput(message.to_owned()));
    }
    if keys.iter().any(|key| key.starts_with(RESERVED_PREFIX)) {
        // Text unverified.
        return Err(Error::InvalidInput("Tag keys that begin with aws: are reserved for system use.".to_owned()));
    }
    Ok(tags)
}

/// Adds tags to those that are there; a key that is there gets the new value.
pub(crate) fn add(tags: &mut Vec<Tag>, new: Vec<Tag>) -> Result<()> {
    let mut all = tags.clone();
    for tag in new {
        match all.iter_mut().find(|known| known.key.eq_ignore_ascii_case(&tag.key)) {
            Some(known) => *known = tag,
            None => all.push(tag),
        }
    }
    if all.len() > TAGS_MAX {
        return Err(Error::LimitExceeded("The number of tags has reached the maximum limit.".to_owned()));
    }
    *tags = all;
    Ok(())
}

/// Takes tags away; keys that are not there do not matter.
pub(crate) fn remove(tags: &mut Vec<Tag>, keys: &[String]) {
    tags.retain(|tag| !keys.iter().any(|key| key.eq_ignore_ascii_case(&tag.key)));
}

/// Shows tags.
pub(crate) fn view(tags: &[Tag]) -> Vec<api::Tag> {
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    tags.iter().map(view).collect()
}

/// Shows the tags of a resource that bears no list where it has none.
pub(crate) fn view_if_any(tags: &[Tag]) -> Option<Vec<api::Tag>> {
    (!tags.is_empty()).then(|| view(tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(keys: &[&str]) -> Option<Vec<api::Tag>> {
        let tag = |key: &&str| api::Tag { key: Some((*key).to_owned()), value: Some("v".to_owned()) };
        Some(keys.iter().map(tag).collect())
    }

    #[test]
    fn keys_are_told_apart_without_case() {
        assert!(matches!(read(tags(&["a", "A"])), Err(Error::InvalidInput(_))));
        let mut known = read(tags(&["Team"])).unwrap();
        add(&mut known, vec![Tag { key: "team".to_owned(), value: "b".to_owned() }]).unwrap();
        assert_eq!(known, [Tag { key: "team".to_owned(), value: "b".to_owned() }]);
        remove(&mut known, &["TEAM".to_owned(), "other".to_owned()]);
        assert_eq!(known, []);
    }

    #[test]
    fn the_fifty_first_tag_is_refused_and_nothing_changes() {
        let mut known = (0..50).map(|n| Tag { key: n.to_string(), value: String::new() }).collect::<Vec<_>>();
        assert!(matches!(add(&mut known, read(tags(&["a"])).unwrap()), Err(Error::LimitExceeded(_))));
        assert_eq!(known.len(), 50);
        add(&mut known, read(tags(&["7"])).unwrap()).unwrap();
    }

    #[test]
    fn keys_of_aws_are_refused() {
        assert!(matches!(read(tags(&["aws:x"])), Err(Error::InvalidInput(_))));
    }
}
