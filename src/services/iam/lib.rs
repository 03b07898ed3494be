//! AWS IAM: its operations, as far as tasks have roles, and roles policies.
//!
//! Roles, policies, instance profiles and users belong to an account, whatever region asks. Policies are kept, checked for
//! their form and not enforced. Where AWS's wording of an error was not seen, the file says so.

mod access_key;
mod entity;
mod instance_profile;
mod page;
mod policy;
mod policy_document;
mod role;
mod service_linked_role;
mod tag;
mod user;
mod violation;

use base::Scope;
use state::Cx;

/// What a handler fails with.
type Error = api::iam::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::iam,
    violation = violation::words,
    routes: [
        AddRoleToInstanceProfile => instance_profile::add_role_to_instance_profile,
        AttachRolePolicy => role::attached::attach_role_policy,
        CreateAccessKey => access_key::create_access_key,
        CreateInstanceProfile => instance_profile::create_instance_profile,
        CreatePolicy => policy::create::create_policy,
        CreatePolicyVersion => policy::version::create_policy_version,
        CreateRole => role::create::create_role,
        CreateServiceLinkedRole => service_linked_role::create_service_linked_role,
        CreateUser => user::create_user,
        DeleteAccessKey => access_key::delete_access_key,
        DeleteInstanceProfile => instance_profile::delete_instance_profile,
        DeletePolicy => policy::delete_policy,
        DeletePolicyVersion => policy::version::delete_policy_version,
        DeleteRole => role::delete_role,
        DeleteRolePermissionsBoundary => role::boundary::delete_role_permissions_boundary,
        DeleteRolePolicy => role::inline::delete_role_policy,
        DeleteServiceLinkedRole => service_linked_role::delete_service_linked_role,
        DeleteUser => user::delete_user,
        DetachRolePolicy => role::attached::detach_role_policy,
        GetInstanceProfile => instance_profile::get_instance_profile,
        GetPolicy => policy::get_policy,
        GetPolicyVersion => policy::version::get_policy_version,
        GetRole => role::get_role,
        GetRolePolicy => role::inline::get_role_policy,
        GetServiceLinkedRoleDeletionStatus => service_linked_role::get_service_linked_role_deletion_status,
        GetUser => user::get_user,
        ListAccessKeys => access_key::list_access_keys,
        ListAttachedRolePolicies => role::attached::list_attached_role_policies,
        ListEntitiesForPolicy => policy::attachment::list_entities_for_policy,
        ListInstanceProfiles => instance_profile::list_instance_profiles,
        ListInstanceProfilesForRole => instance_profile::list_instance_profiles_for_role,
        ListPolicies => policy::list_policies,
        ListPolicyTags => policy::tags::list_policy_tags,
        ListPolicyVersions => policy::version::list_policy_versions,
        ListRolePolicies => role::inline::list_role_policies,
        ListRoleTags => role::tags::list_role_tags,
        ListRoles => role::list_roles,
        ListUsers => user::list_users,
        PutRolePermissionsBoundary => role::boundary::put_role_permissions_boundary,
        PutRolePolicy => role::inline::put_role_policy,
        RemoveRoleFromInstanceProfile => instance_profile::remove_role_from_instance_profile,
        SetDefaultPolicyVersion => policy::version::set_default_policy_version,
        TagInstanceProfile => instance_profile::tag_instance_profile,
        TagPolicy => policy::tags::tag_policy,
        TagRole => role::tags::tag_role,
        UntagInstanceProfile => instance_profile::untag_instance_profile,
        UntagPolicy => policy::tags::untag_policy,
        UntagRole => role::tags::untag_role,
        UpdateAssumeRolePolicy => role::update::update_assume_role_policy,
        UpdateRole => role::update::update_role,
        UpdateRoleDescription => role::update::update_role_description,
    ],
};

/// Returns where the rows of the caller's account lie.
fn home(cx: &Cx) -> Scope {
    state::iam::home(cx.scope())
}
