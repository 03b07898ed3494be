//! Tags of groups. Schedules have none.

use api::scheduler as api;
use base::Arn;
use state::scheduler::{DEFAULT_GROUP, ScheduleGroup};
use state::{Cx, Tag};

use crate::{Result, group, invalid, required};

/// How many tags a group has at most, as in EventBridge Scheduler.
const TAGS_MAX: usize = 50;

/// Lists the tags of a group.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceInput,
) -> Result<api::ListTagsForResourceOutput> {
    let name = group_of(&required(input.resource_arn, "resourceArn")?)?;
    let view = |tag: &Tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    let tags = group::find(cx, &name)?.tags.iter().map(view).collect();
    Ok(api::ListTagsForResourceOutput { tags: Some(tags) })
}

/// Adds tags to a group; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceInput) -> Result<api::TagResourceOutput> {
    let name = group_of(&required(input.resource_arn, "resourceArn")?)?;
    let added = parse(input.tags)?;
    change(cx, &name, |tags| {
        Tag::append(added, tags);
        check(tags)
    })?;
    Ok(api::TagResourceOutput::default())
}

/// Takes tags off a group.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceInput) -> Result<api::UntagResourceOutput> {
    let name = group_of(&required(input.resource_arn, "resourceArn")?)?;
    let keys = input.tag_keys.unwrap_or_default();
    change(cx, &name, |tags| {
        tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceOutput::default())
}

/// Reads the tags of a request; the last of those with one key counts.
pub(crate) fn parse(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    let parsed = Tag::last_of_each(tags.unwrap_or_default().into_iter().map(read));
    check(&parsed)?;
    Ok(parsed)
}

// Text unverified.
fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("A resource can have at most {TAGS_MAX} tags.")));
    }
    Ok(())
}

fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut Vec<Tag>) -> Result<()>) -> Result<()> {
    let table = &cx.state.scheduler.groups;
    if name == DEFAULT_GROUP {
        table.get_or_insert_with(cx.scope(), &name.to_owned(), || ScheduleGroup::new(cx.scope(), name));
    }
    let changed = table.try_update(cx.scope(), &name.to_owned(), |group| change(&mut group.tags));
    changed.ok_or_else(|| group::not_found(name))?.map(drop)
}

fn group_of(arn: &str) -> Result<String> {
    let parsed = Arn::parse(arn);
    let name = parsed.as_ref().and_then(|arn| arn.resource_of("schedule-group"));
    name.map(str::to_owned).ok_or_else(|| invalid(format!("{arn} is not the ARN of a schedule group.")))
}
