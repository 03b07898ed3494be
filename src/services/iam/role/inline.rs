//! The policies that are a role's own.

use api::iam as api;
use state::Cx;
use state::iam::Role;

use super::{change, find};
use crate::page::Paging;
use crate::{Error, Result, policy_document};

/// How long a role's own policies may be together, without white space: AWS's quota.
const POLICIES_LENGTH_MAX: usize = 10_240;

/// Puts a policy into a role, replacing one of the same name.
pub(crate) async fn put_role_policy(cx: &Cx, input: api::PutRolePolicyRequest) -> Result<()> {
    let (role, policy) = (input.role_name.unwrap_or_default(), input.policy_name.unwrap_or_default());
    let document = input.policy_document.unwrap_or_default();
    change(cx, &role, |role| {
        policy_document::check_identity(&document, false)?;
        role.inline_policies.insert(policy, document);
        let length = role.inline_policies.values().map(|document| policy_document::length(document)).sum::<usize>();
        if length > POLICIES_LENGTH_MAX {
            let role = &role.name;
            let message = format!("Maximum policy size of {POLICIES_LENGTH_MAX} bytes exceeded for role {role}");
            return Err(Error::LimitExceeded(message));
        }
        Ok(())
    })?;
    Ok(())
}

/// Shows a policy of a role.
pub(crate) async fn get_role_policy(cx: &Cx, input: api::GetRolePolicyRequest) -> Result<api::GetRolePolicyResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    let (name, document) = policy_of(&role, &input.policy_name.unwrap_or_default())?;
    Ok(api::GetRolePolicyResponse {
        role_name: Some(role.name.clone()),
        policy_name: Some(name.to_owned()),
        policy_document: Some(policy_document::view(document)),
    })
}

/// Lists the names of a role's own policies.
pub(crate) async fn list_role_policies(
    cx: &Cx,
    input: api::ListRolePoliciesRequest,
) -> Result<api::ListRolePoliciesResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListRolePolicies", role.inline_policies.keys().cloned().collect())?;
    Ok(api::ListRolePoliciesResponse {
        policy_names: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Takes a policy out of a role.
pub(crate) async fn delete_role_policy(cx: &Cx, input: api::DeleteRolePolicyRequest) -> Result<()> {
    change(cx, &input.role_name.unwrap_or_default(), |role| {
        let name = policy_of(role, &input.policy_name.unwrap_or_default())?.0.to_owned();
        role.inline_policies.remove(&name);
        Ok(())
    })?;
    Ok(())
}

fn policy_of<'a>(role: &'a Role, name: &str) -> Result<(&'a str, &'a str)> {
    let found = role.inline_policies.get_key_value(name);
    let found = found.map(|(name, document)| (name.as_str(), document.as_str()));
    found.ok_or_else(|| Error::NoSuchEntity(format!("The role policy with name {name} cannot be found.")))
}
