//! Tags of file systems and access points.

use api::efs as api;
use base::{Page, PageToken};
use state::{Cx, Tag};

use crate::{error, identity};

const LISTING: &str = "ListTagsForResource";
/// The most tags of a resource, as in EFS.
const TAGS_MAX: usize = 50;

/// Lists the tags of a resource.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse, api::Error> {
    let id = identity::id_of(input.resource_id);
    let mut tags = match cx.state.efs.access_points.get(cx.scope(), &id) {
        Some(point) => point.tags.clone(),
        None => {
            let found = cx.state.efs.file_systems.get(cx.scope(), &id);
            found.ok_or_else(|| not_found(&id))?.tags.clone()
        }
    };
    tags.sort_by(|a, b| a.key.cmp(&b.key));
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token).map_err(|_| error::invalid_token()));
    let after = after.transpose()?;
    tags.retain(|tag| after.as_ref().is_none_or(|after| tag.key > *after));
    let page = Page::cut(LISTING, identity::page_size(input.max_results), tags, |tag| tag.key.clone());
    Ok(api::ListTagsForResourceResponse { tags: Some(view(&page.items)), next_token: page.next })
}

/// Adds tags to a resource; one that has the key is replaced.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<(), api::Error> {
    let added = parse(input.tags)?;
    change(cx, identity::id_of(input.resource_id), |tags| {
        let mut all = tags.clone();
        all.retain(|tag| added.iter().all(|added| added.key != tag.key));
        all.extend(added.iter().cloned());
        if all.len() > TAGS_MAX {
            return Err(error::bad_request(&format!("A resource can have at most {TAGS_MAX} tags.")));
        }
        *tags = all;
        Ok(())
    })
}

/// Removes tags of a resource.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<(), api::Error> {
    let keys = input.tag_keys.unwrap_or_default();
    change(cx, identity::id_of(input.resource_id), |tags| {
        tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })
}

/// Reads the tags of a request; the last of those with one key counts.
pub(crate) fn parse(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>, api::Error> {
    let mut parsed = Vec::<Tag>::new();
    for tag in tags.unwrap_or_default() {
        let tag = Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
        if tag.key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(error::bad_request("Tag keys that begin with aws: are reserved."));
        }
        parsed.retain(|known| known.key != tag.key);
        parsed.push(tag);
    }
    if parsed.len() > TAGS_MAX {
        return Err(error::bad_request(&format!("A resource can have at most {TAGS_MAX} tags.")));
    }
    Ok(parsed)
}

/// Shapes tags for a response.
pub(crate) fn view(tags: &[Tag]) -> Vec<api::Tag> {
    tags.iter().map(|tag| api::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) }).collect()
}

/// Returns the tag `Name`, which responses show on its own too.
pub(crate) fn name(tags: &[Tag]) -> Option<String> {
    tags.iter().find(|tag| tag.key == "Name").map(|tag| tag.value.clone())
}

fn change(cx: &Cx, id: String, change: impl Fn(&mut Vec<Tag>) -> Result<(), api::Error>) -> Result<(), api::Error> {
    let efs = &cx.state.efs;
    if let Some(changed) = efs.access_points.try_update(cx.scope(), &id, |point| change(&mut point.tags)) {
        return changed.map(drop);
    }
    let changed = efs.file_systems.try_update(cx.scope(), &id, |system| change(&mut system.tags));
    changed.ok_or_else(|| not_found(&id))?.map(drop)
}

fn not_found(id: &str) -> api::Error {
    if id.starts_with("fsap-") { error::access_point_not_found(id) } else { error::file_system_not_found(id) }
}
