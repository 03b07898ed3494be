//! Roles.

pub(crate) mod attached;
pub(crate) mod boundary;
pub(crate) mod create;
pub(crate) mod inline;
pub(crate) mod tags;
pub(crate) mod update;

use std::sync::Arc;

use api::iam as api;
use base::Arn;
use state::Cx;
use state::iam::Role;

use crate::entity::{date, key, path_prefix};
use crate::page::Paging;
use crate::{Error, Result, home, policy_document, service_linked_role, tag};

/// What a view shows beside what every view does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What listings and instance profiles show.
    Listed,
    /// What CreateRole answers with.
    Created,
    /// Everything.
    Full,
}

/// Shows a role.
pub(crate) async fn get_role(cx: &Cx, input: api::GetRoleRequest) -> Result<api::GetRoleResponse> {
    let role = find(cx, &input.role_name.unwrap_or_default())?;
    Ok(api::GetRoleResponse { role: Some(view(&role, Detail::Full)) })
}

/// Lists roles whose path has a prefix, by name.
pub(crate) async fn list_roles(cx: &Cx, input: api::ListRolesRequest) -> Result<api::ListRolesResponse> {
    let prefix = path_prefix(input.path_prefix)?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut("ListRoles", |after| {
        cx.state.iam.roles.walk(&home(cx), after).filter(|(_, role)| role.path.starts_with(&prefix))
    })?;
    let roles = page.items.iter().map(|role| view(role, Detail::Listed)).collect();
    Ok(api::ListRolesResponse { roles: Some(roles), is_truncated: page.is_truncated, marker: page.marker })
}

/// Deletes a role that nothing hangs on any more.
pub(crate) async fn delete_role(cx: &Cx, input: api::DeleteRoleRequest) -> Result<()> {
    let name = input.role_name.unwrap_or_default();
    cx.state.iam.exclusively(|| {
        let role = find_modifiable(cx, &name)?;
        let mut profiles = cx.state.iam.instance_profiles.walk(&home(cx), None).map(|(_, profile)| profile);
        let hinders = if !role.attached_policies.is_empty() {
            Some("must detach all policies first")
        } else if !role.inline_policies.is_empty() {
            Some("must delete policies first")
        } else if profiles.any(|profile| profile.role.as_deref() == Some(key(&name).as_str())) {
            Some("must remove roles from instance profile first")
        } else {
            None
        };
        if let Some(first) = hinders {
            return Err(Error::DeleteConflict(format!("Cannot delete entity, {first}.")));
        }
        cx.state.iam.roles.remove(&home(cx), &key(&name));
        Ok(())
    })
}

/// Finds a role of the caller's account.
pub(crate) fn find(cx: &Cx, name: &str) -> Result<Arc<Role>> {
    cx.state.iam.roles.get(&home(cx), &key(name)).ok_or_else(|| unknown(name))
}

/// Finds a role that its account may change.
pub(crate) fn find_modifiable(cx: &Cx, name: &str) -> Result<Arc<Role>> {
    let role = find(cx, name)?;
    if role.path.starts_with(service_linked_role::PATH) {
        let role = &role.name;
        let message = format!(
            "Cannot perform the operation on the protected role '{role}' - this role is only modifiable by AWS"
        );
        return Err(Error::UnmodifiableEntity(message));
    }
    Ok(role)
}

/// Changes a role that its account may change, and returns it as it is then.
pub(crate) fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut Role) -> Result<()>) -> Result<Arc<Role>> {
    find_modifiable(cx, name)?;
    change_any(cx, name, change)
}

/// Changes what its account may change of every role, also of one that a service has: description and tags.
pub(crate) fn change_any(cx: &Cx, name: &str, change: impl FnOnce(&mut Role) -> Result<()>) -> Result<Arc<Role>> {
    cx.state.iam.roles.try_update(&home(cx), &key(name), change).ok_or_else(|| unknown(name))?
}

fn unknown(name: &str) -> Error {
    Error::NoSuchEntity(format!("The role with name {name} cannot be found."))
}

/// Shows a role.
pub(crate) fn view(role: &Role, detail: Detail) -> api::Role {
    let is_full = detail == Detail::Full;
    let is_listed = detail == Detail::Listed;
    api::Role {
        path: Some(role.path.clone()),
        role_name: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        arn: Some(role.arn.to_string()),
        create_date: Some(date(role.created_at)),
        assume_role_policy_document: Some(policy_document::view(&role.assume_role_policy)),
        description: role.description.clone(),
        // CreateRole does not say it, and the others do.
        max_session_duration: if detail == Detail::Created { None } else { duration_s(role) },
        permissions_boundary: role.permissions_boundary.as_ref().filter(|_| !is_listed).map(view_boundary),
        tags: if is_listed { None } else { tag::view_if_any(&role.tags) },
        role_last_used: is_full.then(api::RoleLastUsed::default),
    }
}

fn duration_s(role: &Role) -> Option<i32> {
    i32::try_from(role.max_session_duration_s).ok()
}

/// Shows a permissions boundary.
pub(crate) fn view_boundary(arn: &Arn) -> api::AttachedPermissionsBoundary {
    api::AttachedPermissionsBoundary {
        permissions_boundary_type: Some(api::PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn.to_string()),
    }
}
