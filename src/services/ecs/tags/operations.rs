//! TagResource, UntagResource and ListTagsForResource.

use api::ecs as api;
use state::Cx;

use super::{TAGS_MAX, is_reserved, parse, reserved, resource, view};
use crate::{Error, Result, invalid, required};

/// Adds tags to a resource. Those of the same key get the new value; others stay.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<api::TagResourceResponse> {
    let arn = required(input.resource_arn, "resourceArn")?;
    let tags = required(input.tags, "tags")?;
    if tags.is_empty() {
        // The words of RegisterTaskDefinition; unverified here.
        return Err(invalid("Tags can not be empty"));
    }
    let tags = parse(Some(tags))?;
    resource::change(cx, &arn, &mut |known| {
        for tag in &tags {
            match known.iter_mut().find(|other| other.key == tag.key) {
                Some(other) => other.value = tag.value.clone(),
                None => known.push(tag.clone()),
            }
        }
        // AWS's own do not count.
        if known.iter().filter(|tag| !is_reserved(&tag.key)).count() > TAGS_MAX {
            // Text unverified.
            return Err(Error::LimitExceeded(format!("Too many tags: the maximum number of tags is {TAGS_MAX}.")));
        }
        Ok(())
    })?;
    Ok(api::TagResourceResponse {})
}

/// Takes tags from a resource. A key that it does not have changes nothing.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<api::UntagResourceResponse> {
    let arn = required(input.resource_arn, "resourceArn")?;
    let keys = required(input.tag_keys, "tagKeys")?;
    if keys.is_empty() {
        // Text unverified.
        return Err(invalid("Tag keys can not be empty"));
    }
    if keys.iter().any(|key| is_reserved(key)) {
        return Err(reserved());
    }
    resource::change(cx, &arn, &mut |known| {
        known.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceResponse {})
}

/// Lists the tags of a resource.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse> {
    let arn = required(input.resource_arn, "resourceArn")?;
    let tags = resource::tags_of(cx, &arn).map_err(|error| match error {
        // The model gives this operation no ResourceNotFoundException.
        Error::ResourceNotFound(message) => Error::InvalidParameter(message),
        other => other,
    })?;
    Ok(api::ListTagsForResourceResponse { tags: Some(view(&tags)) })
}
