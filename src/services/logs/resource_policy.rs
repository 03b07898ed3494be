//! Resource policies: who else may write into the account's log groups, or into one. They are kept and shown, not evaluated.

use std::sync::Arc;

use api::logs as api;
use base::{Page, PageToken};
use serde_json::Value;
use state::Cx;
use state::logs::{LogGroup, ResourcePolicy};

use crate::{Error, Result, invalid, invalid_token, log_group, page_size, required};

/// How many policies an account has at most in a region, as in CloudWatch Logs.
const POLICIES_MAX: usize = 10;
/// The page size of DescribeResourcePolicies, both by default and at most.
const PAGE_SIZE: usize = 50;
const LISTING: &str = "DescribeResourcePolicies";

/// Writes a policy of the account, or of the log group that is named.
pub(crate) async fn put_resource_policy(
    cx: &Cx,
    input: api::PutResourcePolicyRequest,
) -> Result<api::PutResourcePolicyResponse> {
    let name = required(input.policy_name, "policyName")?;
    let document = required(input.policy_document, "policyDocument")?;
    if !serde_json::from_str::<Value>(&document).is_ok_and(|policy| policy.get("Statement").is_some()) {
        // Text unverified.
        return Err(invalid("Policy document is not valid."));
    }
    let policy = ResourcePolicy { name, document, updated_at: cx.now(), revision: None };
    let Some(arn) = input.resource_arn else {
        let (policies, key) = (&cx.state.logs.resource_policies, policy.name.clone());
        let is_new = policies.get(cx.scope(), &key).is_none();
        if is_new && policies.walk(cx.scope(), None).count() >= POLICIES_MAX {
            return Err(Error::LimitExceeded("Resource limit exceeded.".to_owned()));
        }
        let policy = policies.insert(cx.scope(), &key, policy);
        return Ok(api::PutResourcePolicyResponse { resource_policy: Some(view(&policy, None)), revision_id: None });
    };
    let group = log_group::find(cx, None, Some(arn))?;
    let policy = ResourcePolicy { revision: Some(cx.ids.uuid()), ..policy };
    let written = policy.clone();
    change(cx, &group, |row| {
        expect_revision(row, input.expected_revision_id.as_deref())?;
        row.policy = Some(written);
        Ok(())
    })?;
    Ok(api::PutResourcePolicyResponse {
        revision_id: policy.revision.clone(),
        resource_policy: Some(view(&policy, Some(&group))),
    })
}

/// Lists the policies of the account by name, or those of log groups. A group that is not there has none.
pub(crate) async fn describe_resource_policies(
    cx: &Cx,
    input: api::DescribeResourcePoliciesRequest,
) -> Result<api::DescribeResourcePoliciesResponse> {
    let size = page_size(input.limit, PAGE_SIZE);
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| invalid_token())?;
    let is_of_resources = input.policy_scope == Some(api::PolicyScope::Resource) || input.resource_arn.is_some();
    let (policies, next) = if is_of_resources {
        let only =
            input.resource_arn.map(|arn| log_group::find(cx, None, Some(arn)).map(|group| group.name.clone()).ok());
        let is_meant = |group: &LogGroup| only.as_ref().is_none_or(|only| only.as_ref() == Some(&group.name));
        let groups = cx.state.logs.groups.walk(cx.scope(), after).map(|(_, group)| group);
        let found = groups.filter(|group| group.policy.is_some() && is_meant(group));
        let page = Page::cut(LISTING, size, found, |group| group.name.clone());
        let of = |group: &Arc<LogGroup>| group.policy.as_ref().map(|policy| view(policy, Some(group)));
        (page.items.iter().filter_map(of).collect(), page.next)
    } else {
        let found = cx.state.logs.resource_policies.walk(cx.scope(), after).map(|(_, policy)| policy);
        let page = Page::cut(LISTING, size, found, |policy| policy.name.clone());
        (page.items.iter().map(|policy| view(policy, None)).collect(), page.next)
    };
    Ok(api::DescribeResourcePoliciesResponse { resource_policies: Some(policies), next_token: next })
}

/// Deletes a policy of the account, or the one of the log group that is named.
pub(crate) async fn delete_resource_policy(cx: &Cx, input: api::DeleteResourcePolicyRequest) -> Result<()> {
    let Some(arn) = input.resource_arn else {
        let name = required(input.policy_name, "policyName")?;
        let removed = cx.state.logs.resource_policies.remove(cx.scope(), &name);
        return removed.map(drop).ok_or_else(|| no_policy(&name));
    };
    let group = log_group::find(cx, None, Some(arn))?;
    change(cx, &group, |row| {
        let policy = row.policy.as_ref().ok_or_else(|| no_policy(input.policy_name.as_deref().unwrap_or_default()))?;
        if input.policy_name.as_ref().is_some_and(|name| *name != policy.name) {
            return Err(no_policy(input.policy_name.as_deref().unwrap_or_default()));
        }
        expect_revision(row, input.expected_revision_id.as_deref())?;
        row.policy = None;
        Ok(())
    })
}

fn change(cx: &Cx, group: &LogGroup, change: impl FnOnce(&mut LogGroup) -> Result<()>) -> Result<()> {
    let changed = cx.state.logs.groups.try_update(cx.scope(), &group.name, change);
    changed.ok_or_else(log_group::not_found)?.map(drop)
}

/// Refuses a change of a group's policy by somebody who has not seen the last one. (Text unverified.)
fn expect_revision(group: &LogGroup, expected: Option<&str>) -> Result<()> {
    let known = group.policy.as_ref().and_then(|policy| policy.revision.as_deref());
    if known == expected {
        return Ok(());
    }
    Err(Error::OperationAborted("The expected revision of the resource policy is not the current one.".to_owned()))
}

fn no_policy(name: &str) -> Error {
    // Text unverified.
    Error::ResourceNotFound(format!("Policy with name [{name}] does not exist."))
}

fn view(policy: &ResourcePolicy, group: Option<&LogGroup>) -> api::ResourcePolicy {
    let scope = if group.is_some() { api::PolicyScope::Resource } else { api::PolicyScope::Account };
    api::ResourcePolicy {
        policy_name: Some(policy.name.clone()),
        policy_document: Some(policy.document.clone()),
        last_updated_time: Some(policy.updated_at.as_millis()),
        policy_scope: Some(scope),
        resource_arn: group.map(|group| group.arn.to_string()),
        revision_id: policy.revision.clone(),
    }
}
