//! Tags of parameters.

use std::sync::Arc;

use api::ssm as api;
use state::ssm::Parameter;
use state::{Cx, Tag};

use crate::{Error, Result, invalid, required};

/// How many tags a parameter has at most.
const TAGS_MAX: usize = 50;
/// What begins the keys that are kept for AWS, in whatever case.
const RESERVED: &str = "aws:";

/// Adds tags to a parameter; those with known keys replace what was there.
pub(crate) async fn add_tags_to_resource(
    cx: &Cx,
    input: api::AddTagsToResourceRequest,
) -> Result<api::AddTagsToResourceResult> {
    let parameter = find(cx, input.resource_type, input.resource_id)?;
    let tags = read(required(input.tags, "tags")?);
    change(cx, &parameter, |row| {
        Tag::put_all(tags, &mut row.tags);
        check(&row.tags)
    })?;
    Ok(api::AddTagsToResourceResult::default())
}

/// Takes tags off a parameter. Keys that it does not have are no error.
pub(crate) async fn remove_tags_from_resource(
    cx: &Cx,
    input: api::RemoveTagsFromResourceRequest,
) -> Result<api::RemoveTagsFromResourceResult> {
    let parameter = find(cx, input.resource_type, input.resource_id)?;
    let keys = required(input.tag_keys, "tagKeys")?;
    change(cx, &parameter, |row| {
        row.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::RemoveTagsFromResourceResult::default())
}

/// Lists the tags of a parameter.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResult> {
    let parameter = find(cx, input.resource_type, input.resource_id)?;
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    Ok(api::ListTagsForResourceResult { tag_list: Some(parameter.tags.iter().map(view).collect()) })
}

/// Reads the tags of a request.
pub(crate) fn read(tags: Vec<api::Tag>) -> Vec<Tag> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    tags.into_iter().map(read).collect()
}

/// Checks the tags of a parameter. (Texts unverified.)
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::TooManyTagsError(format!("A parameter can't have more than {TAGS_MAX} tags.")));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with(RESERVED)) {
        return Err(invalid("Tag keys can't begin with aws:."));
    }
    let is_repeated = |(index, tag): (usize, &Tag)| tags[..index].iter().any(|known| known.key == tag.key);
    if tags.iter().enumerate().any(is_repeated) {
        return Err(invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
    }
    Ok(())
}

fn change(cx: &Cx, parameter: &Parameter, change: impl FnOnce(&mut Parameter) -> Result<()>) -> Result<()> {
    let changed = cx.state.ssm.parameters.try_update(cx.scope(), &parameter.name, change);
    changed.ok_or_else(unknown)?.map(|_| ())
}

/// Finds the resource, which can only be a parameter here.
fn find(cx: &Cx, kind: Option<api::ResourceTypeForTagging>, id: Option<String>) -> Result<Arc<Parameter>> {
    let id = required(id, "resourceId")?;
    let is_parameter = required(kind, "resourceType")? == api::ResourceTypeForTagging::Parameter;
    let found = cx.state.ssm.find(cx.scope(), id.trim(), cx.now()).filter(|_| is_parameter);
    found.ok_or_else(unknown)
}

/// AWS says nothing besides the code.
fn unknown() -> Error {
    Error::InvalidResourceId(String::new())
}
