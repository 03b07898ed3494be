//! Instance profiles: what hands a role to an instance.

use std::sync::Arc;

use api::iam as api;
use state::Cx;
use state::iam::{EntityKind, InstanceProfile};

use crate::entity::{arn, date, key, path, path_prefix, quota_exceeded};
use crate::page::Paging;
use crate::role::{self, Detail};
use crate::{Error, Result, home, tag};

/// How many roles a profile has at most.
const ROLES_MAX: usize = 1;

/// Makes an instance profile.
pub(crate) async fn create_instance_profile(
    cx: &Cx,
    input: api::CreateInstanceProfileRequest,
) -> Result<api::CreateInstanceProfileResponse> {
    let name = input.instance_profile_name.unwrap_or_default();
    let path = path(input.path)?;
    let profile = InstanceProfile {
        name: name.clone(),
        id: EntityKind::InstanceProfile.id(cx.scope().account, &cx.ids),
        arn: arn(cx, "instance-profile", &path, &name),
        path,
        role: None,
        created_at: cx.now(),
        tags: tag::read(input.tags)?,
    };
    let (profile, is_new) = cx.state.iam.instance_profiles.get_or_insert_with(&home(cx), &key(&name), || profile);
    if !is_new {
        return Err(Error::EntityAlreadyExists(format!("Instance Profile {name} already exists.")));
    }
    Ok(api::CreateInstanceProfileResponse { instance_profile: Some(view(cx, &profile, true)) })
}

/// Shows an instance profile.
pub(crate) async fn get_instance_profile(
    cx: &Cx,
    input: api::GetInstanceProfileRequest,
) -> Result<api::GetInstanceProfileResponse> {
    let profile = find(cx, &input.instance_profile_name.unwrap_or_default())?;
    Ok(api::GetInstanceProfileResponse { instance_profile: Some(view(cx, &profile, true)) })
}

/// Lists instance profiles whose path has a prefix, by name.
pub(crate) async fn list_instance_profiles(
    cx: &Cx,
    input: api::ListInstanceProfilesRequest,
) -> Result<api::ListInstanceProfilesResponse> {
    let prefix = path_prefix(input.path_prefix)?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut("ListInstanceProfiles", |after| {
        let profiles = cx.state.iam.instance_profiles.walk(&home(cx), after);
        profiles.filter(|(_, profile)| profile.path.starts_with(&prefix))
    })?;
    Ok(api::ListInstanceProfilesResponse {
        instance_profiles: Some(page.items.iter().map(|profile| view(cx, profile, false)).collect()),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Lists the instance profiles that have a role.
pub(crate) async fn list_instance_profiles_for_role(
    cx: &Cx,
    input: api::ListInstanceProfilesForRoleRequest,
) -> Result<api::ListInstanceProfilesForRoleResponse> {
    let role = key(&role::find(cx, &input.role_name.unwrap_or_default())?.name);
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut("ListInstanceProfilesForRole", |after| {
        let profiles = cx.state.iam.instance_profiles.walk(&home(cx), after);
        profiles.filter(|(_, profile)| profile.role.as_ref() == Some(&role))
    })?;
    Ok(api::ListInstanceProfilesForRoleResponse {
        instance_profiles: Some(page.items.iter().map(|profile| view(cx, profile, false)).collect()),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Deletes an instance profile that has no role.
pub(crate) async fn delete_instance_profile(cx: &Cx, input: api::DeleteInstanceProfileRequest) -> Result<()> {
    let name = input.instance_profile_name.unwrap_or_default();
    cx.state.iam.exclusively(|| {
        if find(cx, &name)?.role.is_some() {
            let message = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(Error::DeleteConflict(message.to_owned()));
        }
        cx.state.iam.instance_profiles.remove(&home(cx), &key(&name));
        Ok(())
    })
}

/// Puts a role into an instance profile.
pub(crate) async fn add_role_to_instance_profile(cx: &Cx, input: api::AddRoleToInstanceProfileRequest) -> Result<()> {
    let (name, role) = (input.instance_profile_name.unwrap_or_default(), input.role_name.unwrap_or_default());
    cx.state.iam.exclusively(|| {
        find(cx, &name)?;
        let role = role::find_modifiable(cx, &role)?;
        change(cx, &name, |profile| {
            if profile.role.is_some() {
                return Err(quota_exceeded("InstanceSessionsPerInstanceProfile", ROLES_MAX));
            }
            profile.role = Some(key(&role.name));
            Ok(())
        })
    })
}

/// Takes a role out of an instance profile.
pub(crate) async fn remove_role_from_instance_profile(
    cx: &Cx,
    input: api::RemoveRoleFromInstanceProfileRequest,
) -> Result<()> {
    let role = input.role_name.unwrap_or_default();
    change(cx, &input.instance_profile_name.unwrap_or_default(), |profile| {
        if profile.role.as_ref() != Some(&key(&role)) {
            return Err(Error::NoSuchEntity(format!("The role with name {role} cannot be found.")));
        }
        profile.role = None;
        Ok(())
    })
}

/// Adds tags to an instance profile.
pub(crate) async fn tag_instance_profile(cx: &Cx, input: api::TagInstanceProfileRequest) -> Result<()> {
    let tags = tag::read(input.tags)?;
    change(cx, &input.instance_profile_name.unwrap_or_default(), |profile| tag::add(&mut profile.tags, tags))
}

/// Takes tags from an instance profile.
pub(crate) async fn untag_instance_profile(cx: &Cx, input: api::UntagInstanceProfileRequest) -> Result<()> {
    change(cx, &input.instance_profile_name.unwrap_or_default(), |profile| {
        tag::remove(&mut profile.tags, &input.tag_keys.unwrap_or_default());
        Ok(())
    })
}

fn find(cx: &Cx, name: &str) -> Result<Arc<InstanceProfile>> {
    cx.state.iam.instance_profiles.get(&home(cx), &key(name)).ok_or_else(|| unknown(name))
}

fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut InstanceProfile) -> Result<()>) -> Result<()> {
    let changed = cx.state.iam.instance_profiles.try_update(&home(cx), &key(name), change);
    changed.ok_or_else(|| unknown(name))?.map(drop)
}

fn unknown(name: &str) -> Error {
    Error::NoSuchEntity(format!("Instance Profile {name} cannot be found."))
}

/// Shows an instance profile; listings leave out its tags.
fn view(cx: &Cx, profile: &InstanceProfile, has_tags: bool) -> api::InstanceProfile {
    let role = profile.role.as_ref().and_then(|role| cx.state.iam.roles.get(&home(cx), role));
    api::InstanceProfile {
        path: Some(profile.path.clone()),
        instance_profile_name: Some(profile.name.clone()),
        instance_profile_id: Some(profile.id.clone()),
        arn: Some(profile.arn.to_string()),
        create_date: Some(date(profile.created_at)),
        roles: Some(role.iter().map(|role| role::view(role, Detail::Listed)).collect()),
        tags: if has_tags { tag::view_if_any(&profile.tags) } else { None },
    }
}
