//! Tags of repositories.

use std::sync::Arc;

use api::ecr as api;
use base::{Arn, Scope};
use state::ecr::Repository;
use state::{Cx, Tag};

use crate::{Error, Result, invalid, lookup, required};

/// How many tags a repository has at most.
const TAGS_MAX: usize = 50;
const KEY_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 256;
/// What begins the keys that are kept for AWS, in whatever case.
const RESERVED: &str = "aws:";

/// Adds tags to a repository; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<api::TagResourceResponse> {
    let tags = read(required(input.tags, "tags")?);
    check(&tags)?;
    change(cx, input.resource_arn, |repository| {
        Tag::put_all(tags, &mut repository.tags);
        check(&repository.tags)
    })?;
    Ok(api::TagResourceResponse::default())
}

/// Takes tags off a repository. Keys that it does not have are no error.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<api::UntagResourceResponse> {
    let keys = required(input.tag_keys, "tagKeys")?;
    change(cx, input.resource_arn, |repository| {
        repository.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceResponse::default())
}

/// Lists the tags of a repository.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse> {
    let (scope, name) = parse(input.resource_arn)?;
    let repository = lookup::find(cx, &scope, &name)?;
    Ok(api::ListTagsForResourceResponse { tags: Some(view(&repository.tags)) })
}

/// Reads the tags of a request.
pub(crate) fn read(tags: Vec<api::Tag>) -> Vec<Tag> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    tags.into_iter().map(read).collect()
}

/// Checks the tags of a resource. (Texts unverified.)
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        let message = format!("The maximum number of tags ({TAGS_MAX}) has been exceeded for the resource");
        return Err(Error::TooManyTags(message));
    }
    for (index, tag) in tags.iter().enumerate() {
        let key_length = tag.key.chars().count();
        let message = if key_length == 0 || key_length > KEY_LENGTH_MAX {
            format!("Tag keys must have a length between 1 and {KEY_LENGTH_MAX} characters")
        } else if tag.value.chars().count() > VALUE_LENGTH_MAX {
            format!("Tag values must have a length of at most {VALUE_LENGTH_MAX} characters")
        } else if tag.key.to_ascii_lowercase().starts_with(RESERVED) {
            "Tag keys must not begin with 'aws:'".to_owned()
        } else if tags[..index].iter().any(|known| known.key == tag.key) {
            format!("The tag key '{}' is given more than once", tag.key)
        } else {
            continue;
        };
        return Err(Error::InvalidTagParameter(message));
    }
    Ok(())
}

/// Shows tags.
pub(crate) fn view(tags: &[Tag]) -> Vec<api::Tag> {
    tags.iter().map(|tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) }).collect()
}

fn change(cx: &Cx, arn: Option<String>, change: impl FnOnce(&mut Repository) -> Result<()>) -> Result<Arc<Repository>> {
    let (scope, name) = parse(arn)?;
    lookup::change(cx, &scope, &name, change)
}

fn parse(arn: Option<String>) -> Result<(Scope, String)> {
    let text = required(arn, "resourceArn")?;
    let parse = || {
        let arn = Arn::parse(&text).filter(|arn| arn.service() == "ecr")?;
        let name = arn.resource_of("repository")?.to_owned();
        Some((Scope::new(arn.account()?, arn.region()?), name))
    };
    // Text unverified.
    parse().ok_or_else(|| invalid("resourceArn", "Invalid ARN"))
}
