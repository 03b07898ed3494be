//! Tags: their rules, their two forms, and the resources that can have some.

mod operations;
pub(crate) mod resource;

use api::ecs as api;
use state::Tag;

use crate::{Error, Result, invalid};

pub(crate) use operations::{list_tags_for_resource, tag_resource, untag_resource};

const TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
/// What a key or value may hold besides letters, digits and spaces.
const SIGNS: &str = "+-=._:/@";

/// Checks tags against ECS's rules. (Texts follow the documented rules; unverified.)
pub(crate) fn parse(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>> {
    let tags = tags.unwrap_or_default();
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("Too many tags: the maximum number of tags is {TAGS_MAX}.")));
    }
    let mut parsed = Vec::<Tag>::new();
    for tag in tags {
        let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        let is_well_formed = (1..=KEY_CHARS_MAX).contains(&key.chars().count())
            && value.chars().count() <= VALUE_CHARS_MAX
            && key.chars().chain(value.chars()).all(|c| c.is_alphanumeric() || c.is_whitespace() || SIGNS.contains(c));
        if !is_well_formed {
            return Err(invalid(
                "Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, numbers, _ . / = + - : @.",
            ));
        }
        if is_reserved(&key) {
            return Err(reserved());
        }
        if parsed.iter().any(|known| known.key == key) {
            return Err(invalid(format!("Duplicate tag keys found: {key}.")));
        }
        parsed.push(Tag { key, value });
    }
    Ok(parsed)
}

/// Returns whether a key is one that only AWS gives and takes, such as `aws:ecs:clusterName`.
fn is_reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

fn reserved() -> Error {
    invalid("Tag keys that start with aws: are reserved for AWS use.")
}

/// Shapes tags for a response.
pub(crate) fn view(tags: &[Tag]) -> Vec<api::Tag> {
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    tags.iter().map(view).collect()
}
