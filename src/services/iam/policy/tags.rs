//! Tags of managed policies.

use api::iam as api;
use state::Cx;

use super::{change, find_any};
use crate::entity::policy_arn;
use crate::page::Paging;
use crate::{Result, tag};

/// Adds tags to a policy.
pub(crate) async fn tag_policy(cx: &Cx, input: api::TagPolicyRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let tags = tag::read(input.tags)?;
    change(cx, &arn, |policy| tag::add(&mut policy.tags, tags))?;
    Ok(())
}

/// Takes tags from a policy.
pub(crate) async fn untag_policy(cx: &Cx, input: api::UntagPolicyRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    change(cx, &arn, |policy| {
        tag::remove(&mut policy.tags, &input.tag_keys.unwrap_or_default());
        Ok(())
    })?;
    Ok(())
}

/// Lists the tags of a policy.
pub(crate) async fn list_policy_tags(
    cx: &Cx,
    input: api::ListPolicyTagsRequest,
) -> Result<api::ListPolicyTagsResponse> {
    let policy = find_any(cx, &policy_arn(&input.policy_arn.unwrap_or_default())?)?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListPolicyTags", tag::view(&policy.tags))?;
    Ok(api::ListPolicyTagsResponse { tags: Some(page.items), is_truncated: page.is_truncated, marker: page.marker })
}
