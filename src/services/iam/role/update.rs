//! Changing what a role says about itself.

use api::iam as api;
use state::Cx;

use super::create::{SESSION_DURATION_S, check_trust};
use super::{Detail, change, change_any, view};
use crate::Result;

/// Changes description and session duration. A description that the request leaves out stays; a duration goes back to its
/// default.
pub(crate) async fn update_role(cx: &Cx, input: api::UpdateRoleRequest) -> Result<api::UpdateRoleResponse> {
    let duration_s = input.max_session_duration.and_then(|seconds| u32::try_from(seconds).ok());
    change(cx, &input.role_name.unwrap_or_default(), |role| {
        if let Some(description) = input.description {
            role.description = Some(description).filter(|text| !text.is_empty());
        }
        role.max_session_duration_s = duration_s.unwrap_or(SESSION_DURATION_S);
        Ok(())
    })?;
    Ok(api::UpdateRoleResponse::default())
}

/// Changes the description alone: the older operation.
pub(crate) async fn update_role_description(
    cx: &Cx,
    input: api::UpdateRoleDescriptionRequest,
) -> Result<api::UpdateRoleDescriptionResponse> {
    let role = change_any(cx, &input.role_name.unwrap_or_default(), |role| {
        role.description = input.description.filter(|text| !text.is_empty());
        Ok(())
    })?;
    Ok(api::UpdateRoleDescriptionResponse { role: Some(view(&role, Detail::Full)) })
}

/// Replaces the trust policy.
pub(crate) async fn update_assume_role_policy(cx: &Cx, input: api::UpdateAssumeRolePolicyRequest) -> Result<()> {
    let document = input.policy_document.unwrap_or_default();
    change(cx, &input.role_name.unwrap_or_default(), |role| {
        check_trust(&document)?;
        role.assume_role_policy = document;
        Ok(())
    })?;
    Ok(())
}
