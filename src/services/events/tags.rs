//! Tags of rules and buses.

use api::events as api;
use base::Arn;
use state::events::{DEFAULT_BUS, RuleKey};
use state::{Cx, Tag};

use crate::{Error, Result, bus, invalid, required, rule};

/// How many tags a resource has at most, as in EventBridge.
const TAGS_MAX: usize = 50;

/// What tags can be on.
enum Resource {
    Rule(RuleKey),
    Bus(String),
}

/// Lists the tags of a resource.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse> {
    let tags = match resource(cx, &required(input.resource_arn, "resourceARN")?)? {
        Resource::Rule(key) => {
            let rule = cx.state.events.rules.table.get(cx.scope(), &key);
            rule.ok_or_else(|| rule::not_found(&key))?.tags.clone()
        }
        Resource::Bus(name) => bus::find(cx, Some(&name))?.tags.clone(),
    };
    let view = |tag: Tag| api::Tag { key: Some(tag.key), value: Some(tag.value) };
    Ok(api::ListTagsForResourceResponse { tags: Some(tags.into_iter().map(view).collect()) })
}

/// Adds tags to a resource; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<api::TagResourceResponse> {
    let resource = resource(cx, &required(input.resource_arn, "resourceARN")?)?;
    let added = parse(input.tags)?;
    change(cx, &resource, |tags| {
        Tag::append(added, tags);
        check(tags)
    })?;
    Ok(api::TagResourceResponse::default())
}

/// Takes tags off a resource.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<api::UntagResourceResponse> {
    let resource = resource(cx, &required(input.resource_arn, "resourceARN")?)?;
    let keys = input.tag_keys.unwrap_or_default();
    change(cx, &resource, |tags| {
        tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceResponse::default())
}

/// Reads the tags of a request; the last of those with one key counts.
pub(crate) fn parse(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    let parsed = Tag::last_of_each(tags.unwrap_or_default().into_iter().map(read));
    check(&parsed)?;
    Ok(parsed)
}

// Texts unverified.
fn check(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
    }
    let is_reserved = |tag: &Tag| tag.key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"));
    if tags.iter().any(is_reserved) {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    Ok(())
}

fn change(cx: &Cx, resource: &Resource, change: impl FnOnce(&mut Vec<Tag>) -> Result<()>) -> Result<()> {
    match resource {
        Resource::Bus(name) => bus::change(cx, name, |bus| change(&mut bus.tags)).map(drop),
        Resource::Rule(key) => {
            let table = &cx.state.events.rules.table;
            let changed = table.try_update(cx.scope(), key, |rule| change(&mut rule.tags));
            changed.ok_or_else(|| rule::not_found(key))?.map(drop)
        }
    }
}

/// Reads `rule/name`, `rule/bus/name` and `event-bus/name`.
fn resource(cx: &Cx, arn: &str) -> Result<Resource> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service() == "events");
    // Text unverified.
    let parsed = parsed.ok_or_else(|| invalid(format!("{arn} is not a valid ARN.")))?;
    if let Some(rule) = parsed.resource_of("rule") {
        let (bus, name) = rule.rsplit_once('/').unwrap_or((DEFAULT_BUS, rule));
        let key = RuleKey { bus: bus.to_owned(), name: name.to_owned() };
        let is_there = cx.state.events.rules.table.get(cx.scope(), &key).is_some();
        return if is_there { Ok(Resource::Rule(key)) } else { Err(rule::not_found(&key)) };
    }
    match parsed.resource_of("event-bus") {
        Some(name) => Ok(Resource::Bus(bus::find(cx, Some(name))?.name.clone())),
        None => Err(Error::ResourceNotFound(format!("Resource {arn} does not exist."))),
    }
}
