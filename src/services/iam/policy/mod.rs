//! Managed policies: the account's own, and AWS's.

pub(crate) mod attachment;
mod aws;
pub(crate) mod create;
pub(crate) mod tags;
pub(crate) mod version;

use std::sync::Arc;

use api::iam as api;
use base::Arn;
use state::Cx;
use state::iam::Policy;

use crate::entity::{date, key, path_prefix, policy_arn};
use crate::page::Paging;
use crate::{Error, Result, home, tag};
use attachment::Attachments;

/// What a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What listings show.
    Listed,
    /// Everything.
    Full,
}

/// Shows a policy.
pub(crate) async fn get_policy(cx: &Cx, input: api::GetPolicyRequest) -> Result<api::GetPolicyResponse> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    let policy = find_any(cx, &arn)?;
    Ok(api::GetPolicyResponse { policy: Some(view(&policy, &Attachments::of(cx), Detail::Full)) })
}

/// Lists policies: the account's, then AWS's, each by name.
pub(crate) async fn list_policies(cx: &Cx, input: api::ListPoliciesRequest) -> Result<api::ListPoliciesResponse> {
    let prefix = path_prefix(input.path_prefix)?;
    let scope = input.scope.unwrap_or(api::PolicyScopeType::All);
    let attachments = Attachments::of(cx);
    let is_asked = |policy: &Policy| {
        let (policies, boundaries) = attachments.count(&policy.arn);
        let uses = match &input.policy_usage_filter {
            Some(api::PolicyUsageType::PermissionsPolicy) => policies,
            Some(api::PolicyUsageType::PermissionsBoundary) => boundaries,
            Some(_) | None => policies + boundaries,
        };
        policy.path.starts_with(&prefix) && (!input.only_attached.unwrap_or(false) || uses > 0)
    };
    let own = |after: Option<String>| {
        // Keys of the account's policies go before those of AWS's, which begin with `~`.
        let after = after.filter(|_| scope != api::PolicyScopeType::Aws);
        let policies = cx.state.iam.policies.walk(&home(cx), after).map(|(key, policy)| (key, Policy::clone(&policy)));
        policies.filter(|_| scope != api::PolicyScopeType::Aws)
    };
    let of_aws = |after: Option<String>| {
        let policies = aws::all(cx).map(|policy| (format!("~{}", policy.name), policy));
        policies
            .filter(|_| scope != api::PolicyScopeType::Local)
            .filter(move |(key, _)| after.as_ref().is_none_or(|after| key > after))
    };
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging
        .cut("ListPolicies", |after| own(after.clone()).chain(of_aws(after)).filter(|(_, policy)| is_asked(policy)))?;
    let policies = page.items.iter().map(|policy| view(policy, &attachments, Detail::Listed)).collect();
    Ok(api::ListPoliciesResponse { policies: Some(policies), is_truncated: page.is_truncated, marker: page.marker })
}

/// Deletes a policy that is attached to nothing and has one version.
pub(crate) async fn delete_policy(cx: &Cx, input: api::DeletePolicyRequest) -> Result<()> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    cx.state.iam.exclusively(|| {
        let policy = find_own(cx, &arn)?;
        if Attachments::of(cx).count(&arn) != (0, 0) {
            return Err(Error::DeleteConflict("Cannot delete a policy attached to entities.".to_owned()));
        }
        if policy.versions.len() > 1 {
            let message = "This policy has more than one version. Before you delete a policy, you must delete the \
                           policy's versions. The default version is deleted with the policy.";
            return Err(Error::DeleteConflict(message.to_owned()));
        }
        cx.state.iam.policies.remove(&home(cx), &key(&policy.name));
        Ok(())
    })
}

/// Returns whether there is a policy of an ARN that the caller's account can attach.
pub(crate) fn exists(cx: &Cx, arn: &Arn) -> bool {
    find_any(cx, arn).is_ok()
}

/// Finds a policy of the account or of AWS.
pub(crate) fn find_any(cx: &Cx, arn: &Arn) -> Result<Arc<Policy>> {
    match aws::find(cx, arn) {
        Some(policy) => Ok(Arc::new(policy)),
        None => find(cx, arn),
    }
}

/// Finds a policy that the account may change: its own.
pub(crate) fn find_own(cx: &Cx, arn: &Arn) -> Result<Arc<Policy>> {
    if aws::find(cx, arn).is_some() {
        // AWS denies it, as the policy is of another account. Text unverified.
        let message = format!("{} is not authorized to change the AWS managed policy {arn}", cx.principal().arn);
        return Err(wire::ApiError::new("AccessDenied", 403, message).into());
    }
    find(cx, arn)
}

fn find(cx: &Cx, arn: &Arn) -> Result<Arc<Policy>> {
    let policy = cx.state.iam.policy_of(arn).filter(|_| arn.account() == Some(cx.scope().account));
    policy.ok_or_else(|| unknown(arn))
}

/// Changes a policy of the account, and returns it as it is then.
pub(crate) fn change(cx: &Cx, arn: &Arn, change: impl FnOnce(&mut Policy) -> Result<()>) -> Result<Arc<Policy>> {
    let policy = find_own(cx, arn)?;
    cx.state.iam.policies.try_update(&home(cx), &key(&policy.name), change).ok_or_else(|| unknown(arn))?
}

fn unknown(arn: &Arn) -> Error {
    Error::NoSuchEntity(format!("Policy {arn} was not found."))
}

/// Returns the name in an ARN of a policy.
pub(crate) fn name_of(arn: &Arn) -> &str {
    arn.resource().rsplit('/').next().unwrap_or_default()
}

/// Returns the path in an ARN of a policy: `/service-role/` of `policy/service-role/X`.
pub(crate) fn path_of(arn: &Arn) -> &str {
    let path = arn.resource().strip_prefix("policy").unwrap_or_default();
    path.rfind('/').map_or("", |end| &path[..=end])
}

/// Shows a policy.
pub(crate) fn view(policy: &Policy, attachments: &Attachments, detail: Detail) -> api::Policy {
    let (policies, boundaries) = attachments.count(&policy.arn);
    let is_full = detail == Detail::Full;
    api::Policy {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn.to_string()),
        path: Some(policy.path.clone()),
        default_version_id: Some(version::id(policy.default_version)),
        attachment_count: Some(policies),
        permissions_boundary_usage_count: Some(boundaries),
        is_attachable: Some(true),
        description: policy.description.clone().filter(|_| is_full),
        create_date: Some(date(policy.created_at)),
        update_date: Some(date(policy.updated_at)),
        tags: if is_full { tag::view_if_any(&policy.tags) } else { None },
    }
}
