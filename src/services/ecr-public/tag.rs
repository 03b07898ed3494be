//! Tags of public repositories.

use api::ecr_public as api;
use base::{AccountId, Arn, Region, Scope};
use state::ecr::Repository;
use state::{Cx, Tag};

use crate::{Error, Result, invalid, lookup, required};

/// How many tags a repository has at most.
const TAGS_MAX: usize = 50;
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
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    Ok(api::ListTagsForResourceResponse { tags: Some(repository.tags.iter().map(view).collect()) })
}

/// Reads the tags of a request.
pub(crate) fn read(tags: Vec<api::Tag>) -> Vec<Tag> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    tags.into_iter().map(read).collect()
}

/// Checks the tags of a repository. (Texts unverified.)
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        let message = format!("The maximum number of tags ({TAGS_MAX}) has been exceeded for the resource");
        return Err(Error::TooManyTags(message));
    }
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.is_empty() || tag.key.to_ascii_lowercase().starts_with(RESERVED) {
            return Err(Error::InvalidTagParameter("Tag keys must not be empty or begin with 'aws:'".to_owned()));
        }
        if tags[..index].iter().any(|known| known.key == tag.key) {
            return Err(Error::InvalidTagParameter(format!("The tag key '{}' is given more than once", tag.key)));
        }
    }
    Ok(())
}

fn change(cx: &Cx, arn: Option<String>, change: impl FnOnce(&mut Repository) -> Result<()>) -> Result<()> {
    let (scope, name) = parse(arn)?;
    lookup::change(cx, &scope, &name, change).map(|_| ())
}

fn parse(arn: Option<String>) -> Result<(Scope, String)> {
    let text = required(arn, "resourceArn")?;
    let parse = || -> Option<(AccountId, String)> {
        let arn = Arn::parse(&text).filter(|arn| arn.service() == "ecr-public")?;
        Some((arn.account()?, arn.resource_of("repository")?.to_owned()))
    };
    // Text unverified.
    let (account, name) = parse().ok_or_else(|| invalid("resourceArn", "Invalid ARN"))?;
    Ok((Scope::new(account, Region::default()), name))
}
