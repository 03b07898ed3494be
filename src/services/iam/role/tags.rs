//! Tags of roles.

use api::iam as api;
use state::Cx;

use super::{change_any, find};
use crate::page::Paging;
use crate::{Result, tag};

/// Adds tags to a role.
pub(crate) async fn tag_role(cx: &Cx, input: api::TagRoleRequest) -> Result<()> {
    let tags = tag::read(input.tags)?;
    change_any(cx, &input.role_name.unwrap_or_default(), |role| tag::add(&mut role.tags, tags))?;
    Ok(())
}

/// Takes tags from a role.
pub(crate) async fn untag_role(cx: &Cx, input: api::UntagRoleRequest) -> Result<()> {
    change_any(cx, &input.role_name.unwrap_or_default(), |role| {
        tag::remove(&mut role.tags, &input.tag_keys.unwrap_or_default());
        Ok(())
    })?;
    Ok(())
}

/// Lists the tags of a role.
pub(crate) async fn list_role_tags(cx: &Cx, input: api::ListRoleTagsRequest) -> Result<api::ListRoleTagsResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListRoleTags", tag::view(&role.tags))?;
    Ok(api::ListRoleTagsResponse { tags: Some(page.items), is_truncated: page.is_truncated, marker: page.marker })
}
