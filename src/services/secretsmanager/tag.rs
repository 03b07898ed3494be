//! Tags.

use api::secretsmanager as api;
use state::{Cx, Tag};

use crate::{Error, Result, invalid, lookup, required};

/// How many tags a secret has at most.
const TAGS_MAX: usize = 50;
/// What begins the keys that are kept for AWS, in whatever case.
const RESERVED: &str = "aws:";

/// Adds tags to a secret; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<()> {
    let (id, tags) = (required(input.secret_id, "SecretId")?, read(required(input.tags, "Tags")?));
    let change = |secret: &mut state::secretsmanager::Secret| {
        Tag::put_all(tags, &mut secret.tags);
        check(&secret.tags)
    };
    lookup::change_active(cx, &id, change).map(|_| ())
}

/// Takes tags off a secret. Keys that it does not have are no error.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<()> {
    let (id, keys) = (required(input.secret_id, "SecretId")?, required(input.tag_keys, "TagKeys")?);
    let change = |secret: &mut state::secretsmanager::Secret| {
        secret.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    };
    lookup::change_active(cx, &id, change).map(|_| ())
}

/// Reads the tags of a request.
pub(crate) fn read(tags: Vec<api::Tag>) -> Vec<Tag> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    tags.into_iter().map(read).collect()
}

/// Checks the tags of a secret. (Texts unverified.)
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::LimitExceeded(format!("A secret can't have more than {TAGS_MAX} tags.")));
    }
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.is_empty() {
            return Err(invalid("Tag keys can't be empty."));
        }
        if tag.key.to_ascii_lowercase().starts_with(RESERVED) {
            return Err(invalid("Tag keys can't begin with aws:."));
        }
        if tags[..index].iter().any(|known| known.key == tag.key) {
            return Err(invalid("You can't use the same tag key more than once in the same request."));
        }
    }
    Ok(())
}

/// Shows tags of a resource that bears no list where it has none.
pub(crate) fn view_if_any(tags: &[Tag]) -> Option<Vec<api::Tag>> {
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    (!tags.is_empty()).then(|| tags.iter().map(view).collect())
}
