//! What managed policies are attached to.

use std::collections::BTreeMap;

use api::iam as api;
use base::Arn;
use state::Cx;

use super::find_any;
use crate::entity::{path_prefix, policy_arn};
use crate::page::Paging;
use crate::{Result, home};

/// How often each policy is used: as a policy, and as a boundary.
#[derive(Debug, Default)]
pub(crate) struct Attachments(BTreeMap<Arn, (i32, i32)>);

/// What a policy is attached to.
enum Entity {
    Role(api::PolicyRole),
    User(api::PolicyUser),
}

impl Attachments {
    /// Counts the attachments in the caller's account.
    pub(crate) fn of(cx: &Cx) -> Self {
        let mut counts = BTreeMap::<Arn, (i32, i32)>::new();
        for (_, role) in cx.state.iam.roles.walk(&home(cx), None) {
            role.attached_policies.iter().for_each(|arn| counts.entry(arn.clone()).or_default().0 += 1);
            role.permissions_boundary.iter().for_each(|arn| counts.entry(arn.clone()).or_default().1 += 1);
        }
        for (_, user) in cx.state.iam.users.walk(&home(cx), None) {
            user.permissions_boundary.iter().for_each(|arn| counts.entry(arn.clone()).or_default().1 += 1);
        }
        Self(counts)
    }

    /// Returns how often a policy is used as a policy, and as a boundary.
    pub(crate) fn count(&self, arn: &Arn) -> (i32, i32) {
        self.0.get(arn).copied().unwrap_or_default()
    }
}

/// Lists the roles and users that a policy is attached to.
pub(crate) async fn list_entities_for_policy(
    cx: &Cx,
    input: api::ListEntitiesForPolicyRequest,
) -> Result<api::ListEntitiesForPolicyResponse> {
    let arn = policy_arn(&input.policy_arn.unwrap_or_default())?;
    find_any(cx, &arn)?;
    let prefix = path_prefix(input.path_prefix)?;
    let usage = input.policy_usage_filter;
    let uses = |attached: &[Arn], boundary: Option<&Arn>| {
        let as_policy = attached.contains(&arn) && usage != Some(api::PolicyUsageType::PermissionsBoundary);
        let as_boundary = boundary == Some(&arn) && usage != Some(api::PolicyUsageType::PermissionsPolicy);
        as_policy || as_boundary
    };
    let filter = input.entity_filter;
    let roles = cx.state.iam.roles.walk(&home(cx), None).map(|(_, role)| role);
    let roles = roles.filter(|role| {
        let is_used = uses(&role.attached_policies, role.permissions_boundary.as_ref());
        is_used && role.path.starts_with(&prefix) && filter.as_ref().is_none_or(|it| *it == api::EntityType::Role)
    });
    let users = cx.state.iam.users.walk(&home(cx), None).map(|(_, user)| user);
    let users = users.filter(|user| {
        let is_used = uses(&[], user.permissions_boundary.as_ref());
        is_used && user.path.starts_with(&prefix) && filter.as_ref().is_none_or(|it| *it == api::EntityType::User)
    });
    let roles = roles.map(|role| {
        Entity::Role(api::PolicyRole { role_name: Some(role.name.clone()), role_id: Some(role.id.clone()) })
    });
    let users = users.map(|user| {
        Entity::User(api::PolicyUser { user_name: Some(user.name.clone()), user_id: Some(user.id.clone()) })
    });
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut_list("ListEntitiesForPolicy", roles.chain(users).collect())?;
    let (mut policy_roles, mut policy_users) = (Vec::new(), Vec::new());
    for entity in page.items {
        match entity {
            Entity::Role(role) => policy_roles.push(role),
            Entity::User(user) => policy_users.push(user),
        }
    }
    Ok(api::ListEntitiesForPolicyResponse {
        policy_groups: Some(Vec::new()),
        policy_users: Some(policy_users),
        policy_roles: Some(policy_roles),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}
