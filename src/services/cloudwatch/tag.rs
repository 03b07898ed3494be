//! Tags of alarms.

use api::cloudwatch as api;
use base::Arn;
use state::cloudwatch::Alarm;
use state::{Cx, Tag};

use crate::{Error, Result};

/// How many tags an alarm has at most.
const TAGS_MAX: usize = 50;
/// What begins the keys that are kept for AWS, in whatever case.
const RESERVED: &str = "aws:";

/// Adds tags to an alarm; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceInput) -> Result<api::TagResourceOutput> {
    let tags = read(input.tags.unwrap_or_default())?;
    change(cx, &input.resource_arn.unwrap_or_default(), |alarm| {
        Tag::put_all(tags, &mut alarm.tags);
        check(&alarm.tags)
    })?;
    Ok(api::TagResourceOutput::default())
}

/// Takes tags off an alarm. Keys that it does not have are no error.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceInput) -> Result<api::UntagResourceOutput> {
    let keys = input.tag_keys.unwrap_or_default();
    change(cx, &input.resource_arn.unwrap_or_default(), |alarm| {
        alarm.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceOutput::default())
}

/// Lists the tags of an alarm.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceInput,
) -> Result<api::ListTagsForResourceOutput> {
    let arn = input.resource_arn.unwrap_or_default();
    let alarm = name_in(cx, &arn).and_then(|name| cx.state.cloudwatch.alarms.get(cx.scope(), &name));
    let alarm = alarm.ok_or_else(|| unknown(&arn))?;
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    Ok(api::ListTagsForResourceOutput { tags: Some(alarm.tags.iter().map(view).collect()) })
}

/// Reads the tags of a request; the last of those with one key counts.
pub(crate) fn read(tags: Vec<api::Tag>) -> Result<Vec<Tag>> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    let mut known = Vec::new();
    Tag::put_all(tags.into_iter().map(read).collect(), &mut known);
    check(&known)?;
    Ok(known)
}

/// Checks the tags of an alarm. (Texts unverified.)
fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::InvalidParameterValue(format!("The number of tags exceeds the limit of {TAGS_MAX}.")));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with(RESERVED)) {
        return Err(Error::InvalidParameterValue("Tag keys cannot begin with aws:.".to_owned()));
    }
    Ok(())
}

fn change(cx: &Cx, arn: &str, change: impl FnOnce(&mut Alarm) -> Result<()>) -> Result<()> {
    let name = name_in(cx, arn).ok_or_else(|| unknown(arn))?;
    let changed = cx.state.cloudwatch.alarms.try_update(cx.scope(), &name, change);
    changed.ok_or_else(|| unknown(arn))?.map(drop)
}

/// Returns the name of the alarm that an ARN of the caller's account and region names.
fn name_in(cx: &Cx, arn: &str) -> Option<String> {
    let name = Arn::parse(arn)?.resource().strip_prefix("alarm:")?.to_owned();
    (Alarm::arn_of(cx.scope(), &name).as_str() == arn).then_some(name)
}

/// Makes the error of an ARN that names no alarm. (Text unverified.)
fn unknown(arn: &str) -> Error {
    Error::ResourceNotFoundException(api::ResourceNotFoundException {
        resource_type: Some("Alarm".to_owned()),
        resource_id: Some(arn.to_owned()),
        message: Some(format!("Unknown resource {arn}")),
    })
}
