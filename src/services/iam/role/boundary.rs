//! Permissions boundaries of roles. They are kept and bound nothing.

use api::iam as api;
use base::Arn;
use state::Cx;

use super::change;
use crate::entity::{policy_arn, validation_error};
use crate::{Error, Result, policy};

/// Sets the boundary of a role.
pub(crate) async fn put_role_permissions_boundary(
    cx: &Cx,
    input: api::PutRolePermissionsBoundaryRequest,
) -> Result<()> {
    let name = input.role_name.unwrap_or_default();
    let text = input.permissions_boundary.unwrap_or_default();
    cx.state.iam.exclusively(|| {
        super::find_modifiable(cx, &name)?;
        let boundary = find(cx, &text)?;
        change(cx, &name, |role| {
            role.permissions_boundary = Some(boundary);
            Ok(())
        })
    })?;
    Ok(())
}

/// Takes the boundary of a role away; one that is not there does not matter.
pub(crate) async fn delete_role_permissions_boundary(
    cx: &Cx,
    input: api::DeleteRolePermissionsBoundaryRequest,
) -> Result<()> {
    change(cx, &input.role_name.unwrap_or_default(), |role| {
        role.permissions_boundary = None;
        Ok(())
    })?;
    Ok(())
}

/// Finds the policy that is to be a boundary.
pub(crate) fn find(cx: &Cx, text: &str) -> Result<Arn> {
    let arn = policy_arn(text).map_err(|_| validation_error(format!("ARN {text} is not valid.")))?;
    if !policy::exists(cx, &arn) {
        return Err(Error::NoSuchEntity(format!("Scope ARN: {text} does not exist or is not attachable.")));
    }
    Ok(arn)
}
