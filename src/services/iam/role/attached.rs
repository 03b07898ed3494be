//! The managed policies that are attached to a role.

use api::iam as api;
use base::Arn;
use state::Cx;

use super::{change, find, find_modifiable};
use crate::entity::{path_prefix, policy_arn, quota_exceeded};
use crate::page::Paging;
use crate::{Error, Result, policy};

/// How many managed policies a role has at most: AWS's default quota.
const POLICIES_MAX: usize = 10;

/// Attaches a policy to a role; one that is attached already stays so.
pub(crate) async fn attach_role_policy(cx: &Cx, input: api::AttachRolePolicyRequest) -> Result<()> {
    let (name, text) = (input.role_name.unwrap_or_default(), input.policy_arn.unwrap_or_default());
    let arn = policy_arn(&text)?;
    cx.state.iam.exclusively(|| {
        find_modifiable(cx, &name)?;
        if !policy::exists(cx, &arn) {
            return Err(Error::NoSuchEntity(format!("Policy {arn} does not exist or is not attachable.")));
        }
        change(cx, &name, |role| {
            if role.attached_policies.contains(&arn) {
                return Ok(());
            }
            if role.attached_policies.len() >= POLICIES_MAX {
                return Err(quota_exceeded("PoliciesPerRole", POLICIES_MAX));
            }
            role.attached_policies.push(arn);
            Ok(())
        })
    })?;
    Ok(())
}

/// Detaches a policy from a role.
pub(crate) async fn detach_role_policy(cx: &Cx, input: api::DetachRolePolicyRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    change(cx, &input.role_name.unwrap_or_default(), |role| {
        let before = role.attached_policies.len();
        role.attached_policies.retain(|attached| *attached != arn);
        if role.attached_policies.len() == before {
            return Err(Error::NoSuchEntity(format!("Policy {arn} was not found.")));
        }
        Ok(())
    })?;
    Ok(())
}

/// Lists the policies that are attached to a role and whose path has a prefix.
pub(crate) async fn list_attached_role_policies(
    cx: &Cx,
    input: api::ListAttachedRolePoliciesRequest,
) -> Result<api::ListAttachedRolePoliciesResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    let prefix = path_prefix(input.path_prefix)?;
    let attached = role.attached_policies.iter().filter(|arn| policy::path_of(arn).starts_with(&prefix));
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListAttachedRolePolicies", attached.map(view).collect())?;
    Ok(api::ListAttachedRolePoliciesResponse {
        attached_policies: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

fn view(arn: &Arn) -> api::AttachedPolicy {
    api::AttachedPolicy { policy_name: Some(policy::name_of(arn).to_owned()), policy_arn: Some(arn.to_string()) }
}
